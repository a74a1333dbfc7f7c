"""SCALE-Sim topology files (CSV) as shape-only workloads, in the convolution and in the GEMM form.

Columns are read by their header, in any order, in SCALE-Sim's spellings and obvious synonyms
(:data:`COLUMNS`); a column of another name is refused. Convolutions: IFMAP height and width
(padding included), filter height and width, channels, filters and stride, and maybe a second stride
for the columns, a batch, groups, padding on each side that the map does not include, and dilation
(which no machine models: only 1 is read). A name that contains ``DP`` is depthwise, as in
SCALE-Sim, unless a column gives the groups: each channel has its own filters. GEMM: M, N, K (an M x
K by K x N product), which becomes a 1x1 convolution over M pixels. Both: ``N:M`` sparsity of
SCALE-Sim 3. As in SCALE-Sim, two kinds of cells may stand behind the named columns: a number is the
stride of the columns, ``N:M`` the sparsity.

SCALE-Sim rounds output sizes up, ``ceil((H - F + s) / s)``; where that goes past the map, zeros are
padded behind it. With a padding column, which SCALE-Sim does not know, they are rounded down, as in
PyTorch. A batch scales all figures alike, so that a workload holds one image of it and its
note says how many there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from archonsim.errors import WorkloadError, nearest
from archonsim.network.csv_rows import Line, read_lines
from archonsim.network.layer import SIZE_LIMIT, Kind, Layer
from archonsim.network.workload import Provenance, Workload
from archonsim.visible import visible

#: Column of SCALE-Sim to the other names under which it is read; case, blanks and signs do not
#: count.
COLUMNS: dict[str, tuple[str, ...]] = {
    "Layer name": ("layer", "name", "layers", "layerid", "op", "operator"),
    "IFMAP Height": ("ifmaph", "ifmh", "ifh", "inputheight", "inputh", "inheight", "inh", "ih"),
    "IFMAP Width": ("ifmapw", "ifmw", "ifw", "inputwidth", "inputw", "inwidth", "inw", "iw"),
    "Filter Height": ("filterh", "filth", "fh", "kernelheight", "kernelh", "kh"),
    "Filter Width": ("filterw", "filtw", "fw", "kernelwidth", "kernelw", "kw"),
    "Channels": ("channel", "inputchannels", "inchannels", "numchannels", "cin", "ic"),
    "Num Filter": (
        "numfilters",
        "filters",
        "numfilt",
        "outputchannels",
        "outchannels",
        "cout",
        "oc",
    ),
    "Strides": ("stride", "strideheight", "strideh", "stridesheight", "stridesh"),
    "Stride Width": ("stridew", "strideswidth", "stridesw"),
    "Batch": ("batchsize", "batches", "numbatch", "numbatches", "numimages", "images"),
    "Groups": ("group", "numgroups", "numgroup"),
    "Padding": ("pad", "pads", "paddings", "paddingheight", "paddingh", "padheight", "padh"),
    "Padding Width": ("paddingw", "padwidth", "padw"),
    "Dilation": ("dilations", "dilationheight", "dilationh", "dilationrate"),
    "Dilation Width": ("dilationw",),
    "Sparsity": ("sparsityratio", "sparsitynm", "nm", "nmsparsity"),
    "M": (),
    "N": (),
    "K": (),
}
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
NAME, STRIDE_WIDTH, SPARSITY = "Layer name", "Stride Width", "Sparsity"
#: Layers of a file, at most (own decision): the deepest networks have some thousands.
MOST_LAYERS = 5000
#: Columns of 0 or more; all others hold 1 or more.
FROM_ZERO = ("Padding", "Padding Width")


def _plain(header: str) -> str:
    return "".join(char for char in header.lower() if char.isalnum())


_BY_SPELLING = {
    spelling: column
    for column, synonyms in COLUMNS.items()
    for spelling in (_plain(column), *synonyms)
}


@dataclass(frozen=True, slots=True)
class _Row:
    """One layer of the file: its cells by column."""

    line: Line
    name: str
    cells: dict[str, str]

    def error(self, what: str) -> WorkloadError:
        return self.line.error(f"layer {self.name!r}: {what}")

    def number(self, column: str, default: int | None = None) -> int:
        """Read a whole number; a blank cell has the default, if the column has one."""
        cell = self.cells.get(column, "")
        if not cell and default is not None:
            return default
        least = 0 if column in FROM_ZERO else 1
        if not (cell.isascii() and cell.isdecimal()) or (number := _whole(cell)) < least:
            raise self.error(f"{column} is {cell!r}; it must be a whole number of at least {least}")
        if number >= SIZE_LIMIT:
            shown = cell if len(cell) < 24 else f"a number of {len(cell)} digits"
            raise self.error(f"{column} is {shown}; it must be less than 2^31")
        return number

    def sparsity(self) -> tuple[int, int] | None:
        """Read ``N:M``; None where nothing is stated."""
        cell = self.cells.get(SPARSITY, "")
        if not cell:
            return None
        parts = [part.strip() for part in cell.split(":")]
        if len(parts) == 2 and all(part.isascii() and part.isdecimal() for part in parts):
            kept, run = _whole(parts[0]), _whole(parts[1])
            if 1 <= kept <= run < SIZE_LIMIT:
                return kept, run
        raise self.error(f"{SPARSITY} is {cell!r}; it must be N:M, 1 <= N <= M, for example 2:4")


def _whole(digits: str) -> int:
    """Read decimal digits; too many digits give a number beyond any limit."""
    return int(digits) if len(digits) < 20 else SIZE_LIMIT


def _header(line: Line) -> list[str]:
    """Return the column that each cell of the first line names; a blank one names none.

    Raises
    ------
    WorkloadError
        A name is unknown or stands there twice, or columns are missing.
    """
    if any(cell.isdecimal() for cell in line.cells):
        raise line.error(
            f"is {line.cells[0]!r} and numbers; the first line is a header, which names the columns"
        )
    columns: list[str] = []
    named = any(_BY_SPELLING.get(_plain(cell)) == NAME for cell in line.cells)
    for place, cell in enumerate(line.cells, 1):
        column = _BY_SPELLING.get(_plain(cell)) if cell else ""
        if not column and place == 1 and not named:
            column = NAME  # whatever the file calls its layers
        if column is None:
            raise line.error(
                f"column {place} is called {cell!r}, which is not known{nearest(cell, COLUMNS)}"
            )
        if column and column in columns:
            raise line.error(f"column {place}, {cell!r}, gives {column} a second time")
        columns.append(column)
    for needed in (NAME, *(GEMM_COLUMNS if _is_gemm(columns) else CONV_COLUMNS)):
        if needed not in columns:
            raise line.error(
                f"no column {needed}: a header names the layer and {', '.join(GEMM_COLUMNS)}, or"
                f" {', '.join(CONV_COLUMNS)}; cells are separated by {line.separator}"
            )
    allowed = {NAME, "", SPARSITY, "Batch", *GEMM_COLUMNS} if _is_gemm(columns) else {*COLUMNS, ""}
    if extra := [column for column in columns if column not in allowed]:
        raise line.error(f"column {extra[0]!r} beside M, N, K: a matrix product has no such size")
    return columns


def _is_gemm(columns: Sequence[str]) -> bool:
    return "M" in columns or "K" in columns


def _row(line: Line, columns: Sequence[str]) -> _Row:
    """Sort the cells of a line by column.

    Raises
    ------
    WorkloadError
        The name is missing, or a cell stands where the header names no column.
    """
    cells: dict[str, str] = {}
    name_at = columns.index(NAME)
    name = line.cells[name_at] if name_at < len(line.cells) else ""
    if not name:
        raise line.error(f"the layer's name is empty; column {name_at + 1} must name it")
    row = _Row(line, name, cells)
    last = max(place for place, column in enumerate(columns) if column)
    for place, cell in enumerate(line.cells):
        column = columns[place] if place < len(columns) else ""
        if column:
            cells[column] = cell
        elif not cell:
            continue
        elif ":" in cell and SPARSITY not in columns and place > last:
            cells[SPARSITY] = cell
        elif (
            place == last + 1
            and columns[last] == "Strides"
            and STRIDE_WIDTH not in columns
            and cell.isdecimal()
        ):
            cells[STRIDE_WIDTH] = cell
        else:
            raise row.error(
                f"{cell!r} stands in column {place + 1}, which the header does not name"
            )
    missing = [
        column
        for column in (GEMM_COLUMNS if _is_gemm(columns) else CONV_COLUMNS)
        if not cells.get(column)
    ]
    if missing:
        raise row.error(f"{missing[0]} is missing; a layer has {', '.join(filter(None, columns))}")
    return row


def _gemm_layer(row: _Row, name: str) -> Layer:
    m, n, k = (row.number(column) for column in GEMM_COLUMNS)
    return Layer(
        name=name,
        kind="conv",
        role="gemm",
        in_channels=k,
        out_channels=n,
        in_h=m,
        sparsity=row.sparsity(),
    )


def _conv_layer(row: _Row, name: str) -> Layer:
    height, width, tall, wide, channels, filters, stride = map(row.number, CONV_COLUMNS)
    strides = (stride, row.number(STRIDE_WIDTH, stride))
    pad = row.number("Padding", 0)
    pads = (pad, row.number("Padding Width", pad))
    padded = bool(row.cells.get("Padding") or row.cells.get("Padding Width"))
    for column in ("Dilation", "Dilation Width"):
        if (dilation := row.number(column, 1)) != 1:
            raise row.error(f"{column} is {dilation}; no machine models dilation: it must be 1")
    padding: list[int] = []
    for axis, size, window, step, around in (
        ("Height", height, tall, strides[0], pads[0]),
        ("Width", width, wide, strides[1], pads[1]),
    ):
        if window > size + 2 * around:
            raise row.error(
                f"Filter {axis} is {window}; it must be at most IFMAP {axis}, {size + 2 * around}"
            )
        padding += [around, around if padded else around + -(size - window) % step]
    groups, out_channels = _groups(row, name, channels, filters)
    kind: Kind = "depthwise" if 1 < groups == channels == out_channels else "conv"
    return Layer(
        name=name,
        kind=kind,
        role=kind,
        in_channels=channels,
        out_channels=out_channels,
        in_h=height,
        in_w=width,
        kernel_h=tall,
        kernel_w=wide,
        stride_h=strides[0],
        stride_w=strides[1],
        padding=(padding[0], padding[1], padding[2], padding[3]),
        groups=groups,
        sparsity=row.sparsity(),
    )


def _groups(row: _Row, name: str, channels: int, filters: int) -> tuple[int, int]:
    """Return a convolution's groups and output channels.

    A column counts all filters of the layer; by its name alone a depthwise layer has `filters` for
    each channel.
    """
    if not row.cells.get("Groups"):
        return (channels, filters * channels) if _named_depthwise(name) else (1, filters)
    groups = row.number("Groups")
    if channels % groups or filters % groups:
        raise row.error(
            f"Groups is {groups}; it must divide the {channels} channels and {filters} filters"
        )
    return groups, filters


def _named_depthwise(name: str) -> bool:
    return "DP" in name


def _note(path: Path, rows: Sequence[_Row], layers: Sequence[Layer]) -> str:
    """Say what the file does not show by itself: the batch, and which layers are depthwise by name.

    Raises
    ------
    WorkloadError
        Layers are of different batches.
    """
    batch = rows[0].number("Batch", 1)
    for row in rows:
        if row.number("Batch", 1) != batch:
            raise row.error(
                f"Batch is {row.number('Batch', 1)}, and that of {rows[0].name!r} is {batch}; all"
                " layers of a file are of one batch"
            )
    note = f"imported from the SCALE-Sim topology {visible(path.name)}"
    if batch > 1:
        note += (
            f"; batch {batch}: all figures are of one image, a batch takes {batch} times as much"
        )
    named = [
        layer.name
        for row, layer in zip(rows, layers, strict=True)
        if not row.cells.get("Groups") and _named_depthwise(row.name) and layer.groups > 1
    ]
    if named:
        others = f" and {len(named) - 1} more" if len(named) > 1 else ""
        note += (
            f"; {named[0]}{others} depthwise by the name (it contains DP, as in SCALE-Sim); a"
            " column Groups says otherwise"
        )
    return note


def read_topology(path: Path) -> Workload:
    """Read a SCALE-Sim topology file.

    Layers keep their names; one that comes again has ``#2``, ``#3``, ... behind it, since names are
    unique in a workload.

    Raises
    ------
    WorkloadError
        The file cannot be read or a line is not what it must be; the message names line and column.
    """
    lines = read_lines(path)
    if not lines:
        raise WorkloadError(f"{path}: is empty; a topology has a header and a line for each layer")
    columns = _header(lines[0])
    rows = [_row(line, columns) for line in lines[1:]]
    if not rows:
        raise WorkloadError(f"{path}: has a header and no layer; add a line for each layer")
    if len(rows) > MOST_LAYERS:
        raise WorkloadError(f"{path}: has {len(rows)} layers; at most {MOST_LAYERS} are read")
    make = _gemm_layer if _is_gemm(columns) else _conv_layer
    used: set[str] = set()
    seen: dict[str, int] = {}
    layers = []
    for row in rows:
        try:
            layers.append(make(row, _unique(row.name, seen, used)))
        except WorkloadError as error:
            known = str(error).startswith(row.line.where)
            raise error if known else row.line.error(str(error)) from error
    name = visible(path.stem)
    return Workload(
        name=name,
        items=tuple(layers),
        provenance=Provenance(network=name, note=_note(path, rows, layers)),
    )


def _unique(name: str, seen: dict[str, int], used: set[str]) -> str:
    """Return the name, with a number behind it that makes it unique."""
    while True:
        seen[name] = again = seen.get(name, 0) + 1
        unique = name if again == 1 else f"{name}#{again}"
        if unique not in used:
            used.add(unique)
            return unique
