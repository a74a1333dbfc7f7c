"""SCALE-Sim topology files (CSV) as shape-only workloads, in the convolution and in the GEMM form.

Convolutions: layer name, IFMAP height and width (padding included), filter height and width,
channels, filters, stride, and maybe a second stride for the columns. A name that contains ``DP`` is
depthwise, as in SCALE-Sim: each channel has its own filters. GEMM: layer name, M, N, K (an M x K by
K x N product), which becomes a 1x1 convolution over M pixels. The first line is a header and a
comma may end each line.

SCALE-Sim rounds output sizes up, ``ceil((H - F + s) / s)``; where that goes past the map, zeros are
padded behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from archonsim.errors import WorkloadError
from archonsim.network.layer import Kind, Layer
from archonsim.network.workload import Provenance, Workload

GEMM_COLUMNS = ("M", "N", "K")
CONV_COLUMNS = (
    "IFMAP Height",
    "IFMAP Width",
    "Filter Height",
    "Filter Width",
    "Channels",
    "Num Filter",
    "Strides",
)
STRIDE_WIDTH = "Stride Width"
#: SCALE-Sim 3's last column; ``1:1`` is dense.
SPARSITY = "Sparsity"


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of the file, cut at its commas."""

    where: str
    name: str
    cells: tuple[str, ...]

    def error(self, what: str) -> WorkloadError:
        return WorkloadError(f"{self.where}: {what}")

    def numbers(self, columns: tuple[str, ...]) -> list[int]:
        """Read one whole number for each column."""
        if len(self.cells) < len(columns):
            raise self.error(
                f"layer {self.name!r} has {len(self.cells)} values; it must have {len(columns)}:"
                f" {', '.join(columns)}"
            )
        if len(self.cells) > len(columns):
            extra = self.cells[len(columns)]
            raise self.error(
                f"layer {self.name!r} has {extra!r} after its last column {columns[-1]!r}; nothing"
                " may stand there"
            )
        numbers = []
        for column, cell in zip(columns, self.cells, strict=True):
            if not cell.isdecimal() or int(cell) < 1:
                raise self.error(
                    f"layer {self.name!r}: {column} is {cell!r}; it must be a whole number of at"
                    " least 1"
                )
            numbers.append(int(cell))
        return numbers


def _lines(path: Path) -> Iterator[_Line]:
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise WorkloadError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise WorkloadError(
            f"{path}: is not a text file: byte {error.start} is not UTF-8; a topology is a CSV file"
        ) from error
    for number, line in enumerate(text.splitlines(), 1):
        name, *cells = (cell.strip() for cell in line.split(","))
        while cells and not cells[-1]:
            cells.pop()
        if name or cells:
            yield _Line(f"{path}: line {number}", name, tuple(cells))


def _is_gemm(header: _Line) -> bool:
    """Tell the form of a file from its header."""
    columns = [cell.upper() for cell in header.cells]
    if any(cell.isdecimal() for cell in columns):
        raise header.error(
            f"is {header.name!r} and numbers; the first line is a header, which SCALE-Sim skips"
        )
    if columns[:3] == list(GEMM_COLUMNS):
        return True
    if len(columns) >= len(CONV_COLUMNS):
        return False
    raise header.error(
        f"the header has {len(columns)} columns after the layer's name; it must have"
        f" {', '.join(GEMM_COLUMNS)}, or {', '.join(CONV_COLUMNS)}"
    )


def _dense(line: _Line) -> _Line:
    """Take the sparsity column off a line, if it has one."""
    if not line.cells or ":" not in line.cells[-1]:
        return line
    if line.cells[-1] != "1:1":
        raise line.error(
            f"layer {line.name!r}: {SPARSITY} is {line.cells[-1]!r}; only dense layers (1:1) are"
            " modelled"
        )
    return _Line(line.where, line.name, line.cells[:-1])


def _gemm_layer(line: _Line, name: str) -> Layer:
    m, n, k = line.numbers(GEMM_COLUMNS)
    return Layer(name=name, kind="conv", role="gemm", in_channels=k, out_channels=n, in_h=m)


def _conv_layer(line: _Line, name: str) -> Layer:
    columns = (
        CONV_COLUMNS if len(line.cells) <= len(CONV_COLUMNS) else (*CONV_COLUMNS, STRIDE_WIDTH)
    )
    height, width, tall, wide, channels, filters, stride, *second = line.numbers(columns)
    strides = (stride, second[0] if second else stride)
    padding = []
    for axis, size, window, step in (
        ("Height", height, tall, strides[0]),
        ("Width", width, wide, strides[1]),
    ):
        if window > size:
            raise line.error(
                f"layer {line.name!r}: Filter {axis} is {window}; it must be at most IFMAP {axis},"
                f" {size}"
            )
        padding += [0, -(size - window) % step]
    groups = channels if "DP" in line.name else 1
    kind: Kind = "depthwise" if groups > 1 and filters == 1 else "conv"
    return Layer(
        name=name,
        kind=kind,
        role=kind,
        in_channels=channels,
        out_channels=filters * groups,
        in_h=height,
        in_w=width,
        kernel_h=tall,
        kernel_w=wide,
        stride_h=strides[0],
        stride_w=strides[1],
        padding=(padding[0], padding[1], padding[2], padding[3]),
        groups=groups,
    )


def read_topology(path: Path) -> Workload:
    """Read a SCALE-Sim topology file.

    Layers keep their names; one that comes again has ``#2``, ``#3``, ... behind it, since names are
    unique in a workload.

    Raises
    ------
    WorkloadError
        The file cannot be read or a line is not what it must be; the message names line and column.
    """
    lines = list(_lines(path))
    if not lines:
        raise WorkloadError(f"{path}: is empty; a topology has a header and a line for each layer")
    make = _gemm_layer if _is_gemm(lines[0]) else _conv_layer
    seen: dict[str, int] = {}
    layers = []
    for line in lines[1:]:
        if not line.name:
            raise line.error("the layer's name is empty; the first column must name it")
        seen[line.name] = seen.get(line.name, 0) + 1
        again = seen[line.name]
        layers.append(make(_dense(line), line.name if again == 1 else f"{line.name}#{again}"))
    if not layers:
        raise WorkloadError(f"{path}: has a header and no layer; add a line for each layer")
    note = f"imported from the SCALE-Sim topology {path.name}"
    return Workload(
        name=path.stem, items=tuple(layers), provenance=Provenance(network=path.stem, note=note)
    )
