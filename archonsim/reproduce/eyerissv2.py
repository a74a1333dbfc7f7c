"""One Eyeriss v2 PE on real masks.

The design's own cycles, and a uniform-density model of them.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archonsim.errors import SpecError, WorkloadError
from archonsim.machines.eyerissv2.layer import EyerissV2Layer
from archonsim.machines.eyerissv2.spec import EyerissV2Spec
from archonsim.machines.registry import machine, machine_spec
from archonsim.machines.two_sided.bits import LayerInput
from archonsim.network.layer import Layer
from archonsim.reproduce.cell import Cell, Note, Reproduction
from archonsim.reproduce.published import FOLDER, read_rows
from archonsim.user_files import check_regular, read_user_text

SOURCE = (
    "Sparseloop, MICRO 2022; Accelergy-Project/micro22-sparseloop-artifact, commit de0374a: an"
    " Eyeriss v2 PE on a sparse MobileNet 0.5"
)
NETWORK = "sparse MobileNet 0.5"
#: The published cycles are of one PE that does one product a cycle.
ONE_PE = ("pe.rows=1", "pe.cols=1", "pe.products_per_cycle=1")
NOTE = Note(
    "density",
    "a uniform density cannot see which channels' non-zeros meet: it multiplies the layer's shares"
    " of non-zeros (two digits) with half of its products, rounded up, twice",
    "cycles from the masks themselves",
)
_COLUMNS = ("layer", "kind", "in_channels", "out_channels", "height", "width")
_TRUTH, _MODEL = "ground_truth_cycles", "uniform_density_model_cycles"

Row = dict[str, str]
Bits = NDArray[np.uint8]


def _layer(row: Row) -> Layer:
    depthwise = row["kind"].startswith("depthwise")
    channels, filters, height, width = (int(row[key]) for key in _COLUMNS[2:])
    window = 3 if depthwise else 1
    pad = window // 2
    return Layer(
        name=row["layer"],
        kind="depthwise" if depthwise else "conv",
        role="dw" if depthwise else "pw1",
        in_channels=channels,
        out_channels=filters,
        in_h=height,
        in_w=width,
        kernel_h=window,
        kernel_w=window,
        padding=(pad, pad, pad, pad),
        groups=channels if depthwise else 1,
    )


def _bits(layer: Layer, masks: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.bool_], Bits]:
    """Return a layer's weights (O, C/G, R, S) and inputs (C, H, W); all ones where none are."""

    def unpacked(name: str, size: int) -> Bits:
        packed = masks.get(name)
        if packed is None:
            if layer.kind == "depthwise":  # whose cycles do not depend on them
                return np.ones(size, np.uint8)
            raise WorkloadError(f"masks.npz: {name} is missing; a pointwise layer needs its masks")
        if packed.dtype != np.uint8 or packed.size != -(-size // 8):
            raise WorkloadError(
                f"masks.npz: {name} is {packed.size} of {packed.dtype}; it must be"
                f" {-(-size // 8)} bytes (uint8), packed bits"
            )
        return np.unpackbits(packed.ravel(), count=size)

    shape = (layer.in_h, layer.in_w, layer.in_channels)
    alive = unpacked(f"{layer.name}_act", int(np.prod(shape))).reshape(shape)
    weights = unpacked(f"{layer.name}_wgt", layer.weights).reshape(layer.weight_shape)
    return weights.astype(np.bool_), np.ascontiguousarray(alive.transpose(2, 0, 1))


def pe_cycles(layer: Layer, nonzero: NDArray[np.bool_], alive: Bits) -> int:
    """Return the cycles of one PE that does one product a cycle.

    Parameters
    ----------
    layer : Layer
    nonzero : (O, C/G, R, S) bool
    alive : (C, H, W) uint8
    """
    found = machine("eyerissv2")
    spec: EyerissV2Spec = machine_spec(found, None, ONE_PE)
    outputs = layer.out_channels * layer.out_h * layer.out_w
    work = EyerissV2Layer(layer, nonzero, spec).work(LayerInput(alive, outputs))
    return work.bounds["imbalance"]


def density_cycles(layer: Layer, nonzero: NDArray[np.bool_], alive: Bits) -> int:
    """Return the cycles that the published uniform-density model gives."""
    shares = (Fraction(round(100 * float(one.mean())), 100) for one in (nonzero, alive))
    half = Fraction(layer.macs, 2)
    for share in shares:
        half *= share
    return 2 * -(-half.numerator // half.denominator)


def _cells(rows: list[Row], masks: Mapping[str, NDArray[Any]]) -> Iterator[Cell]:
    models = []
    for row in rows:
        layer = _layer(row)
        nonzero, alive = _bits(layer, masks)
        ours = pe_cycles(layer, nonzero, alive)
        about = f"{layer.name}, {row['kind']}, {layer.in_channels} to {layer.out_channels}"
        item = f"{about}, {layer.in_h}x{layer.in_w}"
        if row[_TRUTH]:
            yield _cell("PE", item, row[_TRUTH], ours)
        if row.get(_MODEL):
            model = density_cycles(layer, nonzero, alive)
            models.append(_cell("density model", item, row[_MODEL], model, corrected=ours))
    yield from models


def _cell(section: str, item: str, published: str, ours: int, corrected: int | None = None) -> Cell:
    return Cell(
        section=section,
        run=NETWORK,
        item=item,
        quantity="cycles",
        published=published,
        ours=ours,
        corrected=corrected,
        status="exact" if ours == int(published) else "differs",
        notes=() if corrected is None else (NOTE.id,),
    )


def _read_folder(folder: Path) -> tuple[list[Row], dict[str, NDArray[Any]]]:
    """Read layers of one's own: ``cycles.csv`` and ``masks.npz`` in the shipped tables' form."""
    path, bits = folder / "cycles.csv", folder / "masks.npz"
    text = read_user_text(path, SpecError, "layers are a CSV file")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    rows = csv.DictReader(io.StringIO("\n".join(lines)))
    missing = [name for name in (*_COLUMNS, _TRUTH) if name not in (rows.fieldnames or ())]
    if missing:
        raise SpecError(
            f"{path}: column {missing[0]!r} is missing; it has {', '.join(rows.fieldnames or ())}"
        )
    found = []
    for row in rows:
        where = f"{path}: line {rows.line_num}"
        if not row["kind"].startswith(("pointwise", "depthwise 3x3")):
            raise SpecError(
                f"{where}: kind is {row['kind']!r}; it must begin with pointwise or depthwise 3x3"
            )
        for name in (*_COLUMNS[2:], _TRUTH, _MODEL):
            value = row.get(name) or ""
            if not value.isdecimal() and (value or name in _COLUMNS):
                raise SpecError(f"{where}: {name} is {value!r}; it must be a whole number")
        found.append({key: value or "" for key, value in row.items()})
    check_regular(bits, SpecError, "masks are an NPZ file of packed bits")
    try:
        with np.load(bits, allow_pickle=False) as arrays:
            return found, {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise SpecError(f"{bits}: is no NPZ file of plain arrays: {error}") from error


def reproduce_eyerissv2(folder: Path | None = None) -> Reproduction:
    """Compute the PE's published cycles from the masks.

    Parameters
    ----------
    folder : Path or None
        Other layers, in ``cycles.csv`` and ``masks.npz``; None for those that ship with archonsim.

    Raises
    ------
    SpecError, WorkloadError
        The folder's files are not what they must be.
    """
    if folder is not None:
        rows, masks = _read_folder(folder)
        cells = tuple(_cells(rows, masks))
        return Reproduction(name="eyerissv2", source=str(folder), cells=cells, notes=(NOTE,))
    with (FOLDER / "eyerissv2_masks.npz").open("rb") as file, np.load(file) as arrays:
        cells = tuple(_cells(read_rows("eyerissv2_cycles"), arrays))
    return Reproduction(name="eyerissv2", source=SOURCE, cells=cells, notes=(NOTE,))
