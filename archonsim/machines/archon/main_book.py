"""Mappings of main phases as data: files of them, and what a block and a machine can hold.

A file is TOML or JSON, one entry a block::

    [[mapping]]
    block = "b1"
    order = "g o k c"          # loops, outermost first
    out_block = 8              # output and input channels of a step
    channel_block = 4
    levels = {keep1 = 4, keep2 = 4, input = 4, psum = 4}
    ahead = {keep1 = 592, keep2 = 272, input = 4, psum = 8}
    streamed = []

A ``result.json`` is one, too: the mappings that its run used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from archonsim.dataflow.book import read_mapping_file
from archonsim.errors import SpecError, nearest
from archonsim.machines.archon.main_mapping import OPERANDS, Extents, MainMapping, Operand
from archonsim.machines.archon.main_search import scratchpad_units
from archonsim.machines.archon.spec import ArchonSpec

KEYS = ("order", "out_block", "channel_block", "levels", "ahead", "streamed")
#: Scratchpads, as messages name them: key of the description, and what it counts.
PADS: Mapping[Operand, tuple[str, str]] = {
    "keep1": ("pe.prediction_buffer_words", "bits"),
    "keep2": ("pe.prediction_buffer_words", "bits"),
    "input": ("pe.main_ifmap_words", "words"),
    "psum": ("pe.psum_words", "words"),
}


def parse_mapping(table: Mapping[str, Any], where: str) -> MainMapping:
    """Read a mapping's plain data, as :meth:`MainMapping.to_dict` writes them.

    Parameters
    ----------
    table : mapping of key to plain data
    where : str
        Opens every error message.

    Raises
    ------
    SpecError
        A key is missing or unknown, or a value is not what it must be.
    """
    for key in table:
        if key not in KEYS:
            raise SpecError(f"{where}: unknown key {key!r}{nearest(str(key), KEYS)}")
    for key in KEYS[:-1]:
        if key not in table:
            raise SpecError(f"{where}: {key} is missing; a mapping has {', '.join(KEYS)}")
    order = table["order"]
    if not isinstance(order, str):
        raise SpecError(f'{where}: order is {order!r}; it must be a text such as "g o k c"')
    blocks = [_whole(table[key], 1, f"{where}: {key}") for key in ("out_block", "channel_block")]
    streamed = table.get("streamed", [])
    if not isinstance(streamed, list) or not set(map(str, streamed)) <= {"keep1", "keep2"}:
        raise SpecError(
            f"{where}: streamed is {streamed!r}; it must be a list of keep1 and keep2, or empty"
        )
    try:
        return MainMapping(
            order=tuple(order.split()),  # type: ignore[arg-type]
            out_block=blocks[0],
            channel_block=blocks[1],
            levels=_of_operands(table["levels"], f"{where}: levels"),
            ahead=_of_operands(table["ahead"], f"{where}: ahead"),
            streamed=tuple(name in streamed for name in OPERANDS),  # type: ignore[arg-type]
        )
    except ValueError as error:
        raise SpecError(f"{where}: {error}") from error


def _whole(value: object, least: int, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SpecError(f"{where} is {value!r}; it must be an integer of at least {least}")
    return value


def _of_operands(table: object, where: str) -> tuple[int, int, int, int]:
    if not isinstance(table, Mapping) or set(table) != set(OPERANDS):
        raise SpecError(f"{where} is {table!r}; it must be a table of {', '.join(OPERANDS)}")
    keep1, keep2, inputs, psum = (_whole(table[name], 0, f"{where}.{name}") for name in OPERANDS)
    return keep1, keep2, inputs, psum


def check_fits(mapping: MainMapping, extents: Extents, spec: ArchonSpec, where: str) -> None:
    """Refuse a mapping whose tiles a PE's scratchpads cannot hold.

    Raises
    ------
    SpecError
        Names the capacity, and what would be needed.
    """
    for key, size, most in (
        ("out_block", mapping.out_block, extents.outs),
        ("channel_block", mapping.channel_block, extents.channels),
    ):
        if size > most:
            raise SpecError(f"{where}: {key} is {size}; the block has {most} in a channel group")
    if any(mapping.streamed) and (mapping.out_block, mapping.channel_block) != (1, 1):
        raise SpecError(
            f"{where}: streamed masks come with every pair of an output and an input channel;"
            " out_block and channel_block must be 1"
        )
    held: dict[str, int] = {}
    for at, operand in enumerate(OPERANDS):
        units = extents.tile_units(operand, mapping)[0]
        if mapping.streamed[at]:
            continue
        if mapping.ahead[at] > units:
            raise SpecError(
                f"{where}: ahead.{operand} is {mapping.ahead[at]}; a tile has {units}"
                f" {PADS[operand][1]}"
            )
        key, unit = PADS[operand]
        held[key] = held.get(key, 0) + units + mapping.ahead[at]
        room = scratchpad_units(spec, operand)
        if held[key] > room:
            names = "keep1 and keep2" if operand == "keep2" else operand
            raise SpecError(
                f"{where}: {names}: a tile and what is held ahead take {held[key]} {unit}, and a PE"
                f" has {room} ({key}={getattr(spec.pe, key.partition('.')[2])})"
            )


@dataclass(frozen=True, slots=True)
class MainBook:
    """Mappings of one file, by the block's name.

    Attributes
    ----------
    where : str
        File, for error messages.
    by_block : dict of block name to MainMapping
    """

    where: str
    by_block: Mapping[str, MainMapping]

    def find(self, block: str, extents: Extents, spec: ArchonSpec) -> MainMapping:
        """Return the mapping of a block.

        Raises
        ------
        SpecError
            There is none, or it does not fit the machine.
        """
        if block not in self.by_block:
            raise SpecError(
                f"{self.where}: no mapping for block {block!r}; add one, or use --set"
                " mapping=search"
            )
        check_fits(self.by_block[block], extents, spec, f"{self.where}: block {block}")
        return self.by_block[block]


def _entries(tree: Any, where: str) -> Sequence[tuple[str, Any]]:
    """List the entries of a file, or those of a result's main phases, by block."""
    if isinstance(tree, dict) and isinstance(layers := tree.get("layers"), list):
        found = [
            (str(one.get("name")), one["mapping"])
            for one in layers
            if isinstance(one, dict) and one.get("mapping") is not None
        ]
        if not found:
            raise SpecError(f"{where}: a result without mappings; run with main_order=mapped")
        return found
    entries = tree.get("mapping") if isinstance(tree, dict) else None
    if not isinstance(entries, list) or not entries:
        raise SpecError(
            f"{where}: a mapping file is a list of entries called mapping ([[mapping]] in TOML), or"
            " a result.json"
        )
    found = []
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict) or not isinstance(entry.get("block"), str):
            raise SpecError(f'{where}: mapping {number}: block is missing; name one, such as "b1"')
        rest = {key: value for key, value in entry.items() if key not in ("block", "source")}
        found.append((entry["block"], rest))
    return found


@cache
def open_main_book(name: str) -> MainBook:
    """Read a mapping file (``.toml`` or ``.json``).

    Raises
    ------
    SpecError
        It does not exist or is malformed.
    """
    by_block: dict[str, MainMapping] = {}
    for block, table in _entries(read_mapping_file(name), name):
        if block in by_block:
            raise SpecError(f"{name}: block {block} has two mappings; leave one of them")
        if not isinstance(table, dict):
            raise SpecError(f"{name}: block {block}: {table!r} is no table of {', '.join(KEYS)}")
        by_block[block] = parse_mapping(table, f"{name}: block {block}")
    return MainBook(name, by_block)
