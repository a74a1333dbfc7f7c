"""From what a user writes to a workload and its images.

A file, a table or topology of layers, or a network known by name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from archonsim.errors import MaskError
from archonsim.network.fuse import fuse_network, split_variant
from archonsim.network.workload import Workload
from archonsim.tracefile.check import read_weights
from archonsim.tracefile.reader import open_workload
from archonsim.tracefile.schema import MOST_IMAGES


def is_file(text: str) -> bool:
    """Whether `text` names a file, not a network: it has a suffix or a folder, or it exists."""
    path = Path(text)
    return bool(path.suffix) or len(path.parts) > 1 or path.exists()


def find_workload(text: str) -> Workload:
    """Open a file, or look a network up by name: what has a suffix, a folder or exists is a file.

    A file's weights are read and checked; its masks are when they are asked for. Either may be
    followed by ``+fuse-VARIANT``: the shapes of a FuSe variant (:mod:`archonsim.network.fuse`).
    """
    path = Path(text)
    base, variant = split_variant(text)
    if variant is not None:
        return fuse_network(find_workload(base), variant)
    # Each way's reader is imported where it is gone.
    if path.suffix == ".csv":
        from archonsim.network.scalesim_csv import read_topology

        return read_topology(path)
    if path.suffix == ".toml":
        from archonsim.network.table import read_network

        return read_network(path)
    if is_file(text):
        work = open_workload(path)
        if work.trace is not None:
            read_weights(work, work.trace)
        return work
    from archonsim.network.networks import network

    return network(text)


def parse_images(text: str) -> list[int] | None:
    """Read ``all`` (None), ``0``, ``0,2`` or ``0-3``.

    Raises
    ------
    MaskError
        The text is none of these.
    """
    if text == "all":
        return None
    shown = repr(text) if len(text) < 60 else f"{text[:60]!r}..."
    numbers: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?", part)
        if match is None:
            raise MaskError(f"--images is {shown}; it must be all, or numbers such as 0 or 0,2-3")
        first = int(match[1])
        more = range(first, int(match[2] or first) + 1)
        if len(numbers) + len(more) > MOST_IMAGES:
            raise MaskError(f"--images is {shown}; it may name at most {MOST_IMAGES} images")
        numbers += more
    if not numbers:
        raise MaskError(
            f"--images is {shown}, which holds no image; it must be all, or numbers such as 0 or"
            " 0,2-3"
        )
    return list(dict.fromkeys(numbers))


def choose_images(workload: Workload, images: Sequence[int] | None) -> list[int]:
    """Return image numbers to run, all of them for None.

    A workload without masks counts as one image: what-if masks, and machines that use none, need no
    other.

    Raises
    ------
    MaskError
        A number is out of range.
    """
    available = max(workload.images, 1)
    if images is None:
        return list(range(available))
    for image in images:
        if not 0 <= image < available:
            raise MaskError(f"--images {image}: {workload.name} holds images 0 to {available - 1}")
    return list(images)
