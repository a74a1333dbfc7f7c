"""What a network table (TOML) may hold; ``docs/networks.md`` describes it for users."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Required

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from archonsim.errors import WorkloadError, nearest
from archonsim.network.block import Order, Residual
from archonsim.network.layer import Activation, Kind

#: Larger than any network's, small enough that every product fits 64 bits and that a slip of the
#: finger ends at once (own decision).
Count = Annotated[int, Field(ge=1, lt=2**20)]
Size = Annotated[int, Field(ge=0, lt=2**20)]
Repeat = Annotated[int, Field(ge=1, le=1000)]
#: Channels, height and width.
Map = Annotated[list[Count], Field(min_length=3, max_length=3)]
Window = Count | Annotated[list[Count], Field(min_length=2, max_length=2)]

STRICT = ConfigDict(extra="forbid", strict=True)


@with_config(STRICT)
class LayerRow(TypedDict, total=False):
    """One layer of `head` or `tail`."""

    kind: Required[Kind]
    role: str
    name: str
    out: Count
    kernel: Window
    stride: Count
    padding: Size
    groups: Count
    activation: Activation
    batchnorm: bool
    bias: bool
    at: Map


@with_config(STRICT)
class BlockRow(TypedDict, total=False):
    """One bottleneck, or `repeat` of them."""

    mid: Count
    out: Count
    kernel: Count
    stride: Count
    groups: Count
    shuffle: Size
    residual: Residual
    predicted: bool
    order: Order
    excite: Count
    excite_after: Literal["dw", "pw2"]
    fusable: bool
    joined: Count
    dw_activation: Activation
    join_activation: Activation
    at: Map
    repeat: Repeat


@with_config(STRICT)
class NetworkTable(TypedDict, total=False):
    """A whole table."""

    dataset: str
    note: str
    input: Required[Map]
    first_block: Size
    every_block: BlockRow
    head: list[LayerRow]
    blocks: list[BlockRow]
    tail: list[LayerRow]


#: What every block needs, of its own or from `every_block`.
BLOCK_NEEDS = ("mid", "out", "kernel")
_ROWS: dict[str, Any] = {"head": LayerRow, "blocks": BlockRow, "tail": LayerRow}


def check_table(table: dict[str, Any], where: str) -> NetworkTable:
    """Check keys and values of a table.

    Raises
    ------
    WorkloadError
        One line: `where`, the row and field, the value, and what it must be.
    """
    try:
        checked = TypeAdapter(NetworkTable).validate_python(table)
    except ValidationError as error:
        raise WorkloadError(f"{where}: {_line(error, table)}") from error
    for number, row in enumerate(checked.get("blocks", []), 1):
        for key in BLOCK_NEEDS:
            if key not in {**checked.get("every_block", {}), **row}:
                raise WorkloadError(f"{where}: {row_name('blocks', number)}: {key} is missing")
    if not any(checked.get(part) for part in _ROWS):
        raise WorkloadError(f"{where}: no layers: give at least one row of head, blocks or tail")
    return checked


def row_name(part: str, number: int) -> str:
    """Say where a row stands; rows are counted from 1."""
    return f"{part}, row {number}"


#: What fields must be that hold several numbers.
_SHAPES = {
    "input": "it must be [channels, height, width], whole numbers from 1 to 1048575",
    "at": "it must be [channels, height, width], whole numbers from 1 to 1048575",
    "kernel": "it must be a whole number from 1 to 1048575; of a layer also [height, width]",
}


def _line(error: ValidationError, table: Any) -> str:
    """Describe the first fault of a table."""
    fault = error.errors()[0]
    part, *rest = fault["loc"]
    if not rest or part not in (*_ROWS, "every_block"):
        place, field, known = "", str(part), list(NetworkTable.__annotations__)
    elif isinstance(rest[0], int):
        place = f"{row_name(str(part), rest[0] + 1)}: "
        field, known = str(rest[1]) if len(rest) > 1 else "", _keys(str(part))
    else:
        place, field, known = f"{part}: ", str(rest[0]), _keys("blocks")
    if fault["type"] == "extra_forbidden":
        return f"{place}unknown key {field!r}{nearest(field, known)}"
    if fault["type"] == "missing":
        return f"{place}{field} is missing"
    rule = _SHAPES.get(field) or fault["msg"].replace("Input should be", "it must be")
    value = fault["input"]
    if field in _SHAPES:  # the whole list, not the item that is wrong
        for key in fault["loc"][: fault["loc"].index(field) + 1]:
            table = table[key]
        value = table
    return f"{place}{field or 'it'} is {value!r}; {rule}"


def _keys(part: str) -> list[str]:
    return list(_ROWS[part].__annotations__)
