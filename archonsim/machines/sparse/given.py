"""Non-zero weights that a user's file gives layer by layer (``nnz=FILE``).

``.csv``: the columns ``layer`` and ``nonzeros`` or ``density``; zeros are perfectly balanced.
``.npz``: an array for each layer, by its name: a number of non-zero weights; the weights or a mask
of them, in the shape of the weights; or the non-zero weights of each PE and pass. A layer that the
file does not name is dense.
"""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archonsim.errors import SpecError, nearest
from archonsim.machines.layerwise import layer_steps
from archonsim.network.layer import Layer
from archonsim.network.workload import Workload
from archonsim.user_files import check_regular, read_user_text

#: What arrays of a file may take in memory together (own decision).
MOST_BYTES = 2**30

Array = NDArray[Any]


def read_given(name: str, workload: Workload) -> dict[str, Array]:
    """Read a file's arrays by layer, and check that they fit the workload's.

    Returns
    -------
    given : dict of layer to array
        0-d: non-zero weights of the layer; 2-d int: of each PE and pass; 4-d bool: which are not
        zero.

    Raises
    ------
    SpecError
        The file cannot be read, names no layer of the workload, or an array is not what it must be.
    """
    path = Path(name)
    layers = {step.layer.name: step.layer for step in layer_steps(workload)}
    found = _read_csv(path, layers) if path.suffix == ".csv" else _read_npz(path)
    if not found:
        raise SpecError(f"{path}: names no layer; name at least one")
    for layer in found:
        _known(path, layer, layers)
    return {layer: _checked(f"{path}: {layer}", found[layer], layers[layer]) for layer in found}


def _known(path: Path, name: str, layers: dict[str, Layer]) -> Layer:
    if name not in layers:
        raise SpecError(
            f"{path}: {name!r} is no layer of the workload{nearest(name, list(layers))}"
        )
    return layers[name]


def _read_csv(path: Path, layers: dict[str, Layer]) -> dict[str, Array]:
    text = read_user_text(path, SpecError, "counts of non-zero weights are a CSV file")
    rows = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    header = [name.strip() for name in rows.fieldnames or ()]
    if header not in (["layer", "nonzeros"], ["layer", "density"]):
        raise SpecError(
            f"{path}: its header is {','.join(header)!r}; it must be layer,nonzeros or"
            " layer,density"
        )
    rows.fieldnames = header
    found: dict[str, Array] = {}
    for row in rows:
        where, name = f"{path}: line {rows.line_num}", (row["layer"] or "").strip()
        layer = _known(path, name, layers)
        if name in found:
            raise SpecError(f"{where}: layer {name!r} comes a second time")
        value = (row[header[1]] or "").strip()
        found[name] = np.array(
            _count(f"{where}: {header[1]} is {value!r}", value, header[1], layer)
        )
    return found


def _count(where: str, value: str, column: str, layer: Layer) -> int:
    """Return the non-zero weights that a cell stands for."""
    try:
        number = int(value) if column == "nonzeros" else float(value)
    except ValueError:
        number = -1
    most = layer.weights if column == "nonzeros" else 1
    if not 0 <= number <= most:
        kind = "a whole number" if column == "nonzeros" else "a number"
        raise SpecError(f"{where}; it must be {kind} from 0 to {most}")
    return round(number * layer.weights) if column == "density" else int(number)


def _read_npz(path: Path) -> dict[str, Array]:
    check_regular(path, SpecError, "non-zero weights are a CSV or NPZ file")
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MOST_BYTES:
            raise SpecError(f"{path}: its arrays take {size} bytes; at most {MOST_BYTES} are read")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise SpecError(f"{path}: is no NPZ file of plain arrays: {error}") from error


def _checked(where: str, array: Array, layer: Layer) -> Array:
    """Return an array in one of the forms of :func:`read_given`."""
    shape = layer.weight_shape
    if array.dtype.kind not in "biuf":
        raise SpecError(f"{where}: holds {array.dtype}; it must hold numbers or booleans")
    flat = array.dtype.kind == "b" and array.shape == shape[:2] and array.size == layer.weights
    if array.shape == shape or flat:
        return np.asarray(array.reshape(shape) != 0)
    if array.dtype.kind in "iu" and array.ndim == 0:
        if not 0 <= int(array) <= layer.weights:
            raise SpecError(
                f"{where}: is {int(array)}; it must be from 0 to {layer.weights} weights"
            )
        return array
    if array.dtype.kind in "iu" and array.ndim == 2 and array.size:
        if int(array.min()) < 0 or int(array.max()) >= 2**31:
            raise SpecError(
                f"{where}: has counts from {array.min()} to {array.max()}; they must be"
                " from 0 to 2147483647"
            )
        return array.astype(np.int32)
    raise SpecError(
        f"{where}: has the shape {array.shape} and type {array.dtype}; it must be a number, its"
        f" weights or a mask of the shape {shape}, or whole numbers of the shape (PEs, passes)"
    )
