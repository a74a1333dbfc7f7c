"""What ``archonsim export`` does, free of its command line."""

from __future__ import annotations

from pathlib import Path

from archonsim.export.exporter import export_network, test_images
from archonsim.workload.networks import network
from archonsim.workload.workload import Workload
from archonsim.workload.writer import write_workload


def export_to_file(
    name: str, checkpoint: Path, images: Path | None, count: int, out: Path, *, plain: bool = False
) -> tuple[Workload, str]:
    """Export a trained network with the first `count` images of its test split to a workload file.

    Parameters
    ----------
    images : Path or None
        Folder of the data set's files; the digits need none.
    plain : bool
        Store masks as they are: any HDF5 tool can decode them, and the file is several times as large.

    Returns
    -------
    workload, digest
    """
    dataset = network(name).provenance.dataset
    workload = export_network(name, checkpoint, test_images(dataset, images, count))
    return workload, write_workload(out, workload, workload.trace, plain=plain)
