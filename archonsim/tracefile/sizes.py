"""How many bytes each kind of content takes in a workload file."""

from __future__ import annotations

from pathlib import Path

from archonsim.tracefile.hdf5_in import open_file

#: Kind of content by name of dataset; those within a predictor's group all belong to the
#: predictors.
_KINDS = {
    "weight": "weights",
    "scale": "scales and shifts",
    "shift": "scales and shifts",
    "keep1": "masks",
    "keep2": "masks",
    "true1": "masks",
    "true2": "masks",
    "clip1": "masks",
    "clip2": "masks",
    "true_clip1": "masks",
    "true_clip2": "masks",
    "input": "maps",
    "output": "maps",
    "input_bits": "activations",
    "input_values": "input values",
}


def stored_bytes(path: Path) -> dict[str, int]:
    """Return bytes by kind of content, compressed as they are.

    Shapes, names, digests and HDF5's own under "structure".

    The values add up to the size of the file.
    """
    sizes = {"weights": 0, "scales and shifts": 0, "predictors": 0, "masks": 0, "maps": 0}
    with open_file(path) as root:
        for where, size in root.dataset_bytes().items():
            kind = "predictors" if "/predictor" in where else _KINDS.get(where.rsplit("/", 1)[-1])
            if kind is not None:
                sizes[kind] = sizes.get(kind, 0) + size
    return sizes | {"structure": path.stat().st_size - sum(sizes.values())}
