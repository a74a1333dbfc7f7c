"""Whether an HDF5 file of somebody else can be read to its end at all.

libhdf5 walks some damaged files for ever, inside one call that neither Ctrl-C nor a timer of
Python's ends (found by fuzzing: an attribute whose heap refers to itself). So a file from elsewhere
is first read by a process of its own, which can be ended.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from typing import Final

import h5py

#: Seconds of the processor that reading all of a file may take; and seconds in all, on a machine
#: that others keep busy, or that cannot limit the former.
MOST_SECONDS: Final = 5
_MOST_WAITING: Final = 60.0
#: Bytes of one dataset that are read; a larger one is refused by whoever asks for it.
_MOST_BYTES: Final = 1 << 28


def ends(content: bytes) -> bool:
    """Return whether reading all attributes and datasets ends, well or in an error of Python's.

    Parameters
    ----------
    content : bytes
        Of the file.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__],
            input=content,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_MOST_WAITING,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode >= 0  # else a signal ended it: that of its limit, or of a crash


def _read_all(file: h5py.File) -> None:
    def read(name: str, node: h5py.Group | h5py.Dataset) -> None:
        for attribute in node.attrs:
            node.attrs[attribute]
        if isinstance(node, h5py.Dataset) and node.nbytes <= _MOST_BYTES:
            node[()]

    read("/", file["/"])
    file.visititems(read)


if __name__ == "__main__":
    with contextlib.suppress(ImportError):  # not on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))
    with h5py.File(io.BytesIO(sys.stdin.buffer.read()), "r") as opened:
        _read_all(opened)
