"""A mapping of the main phase: the order of a block's groups, and what stays in a PE.

A group is all candidates of one (output channel o, input channel c, tap k). The order of the groups
is a loop nest over the channel groups of PW1 (``g``), blocks of output channels (``o``), taps
(``k``) and blocks of input channels (``c``), any of them outermost; inside one **step** of the nest
stand the pairs of an output and an input channel of the blocks, in an order that is free (own
decision; the published order is c, g, o, k with blocks of one channel).

While the nest runs, a PE keeps four operands in scratchpads: keep1 and keep2 of its window in the
prediction buffer, inputs in the ifmap pad, partial sums in the psum pad. Each operand is held from
some loop of the nest on (its *level*): the tile of the operand that the inner loops touch is
fetched whenever an outer loop moves to another one. What a scratchpad holds *ahead* of the next
tile, up to all of it, is fetched while the current one is used, the rest after that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from archonsim.network.block import Block
from archonsim.trace.fused_weight import NONE, FusedWeight

Dimension = Literal["g", "o", "k", "c"]
#: The four operands of a PE in the main phase.
Operand = Literal["keep1", "keep2", "input", "psum"]
OPERANDS: tuple[Operand, ...] = ("keep1", "keep2", "input", "psum")
DIMENSIONS: tuple[Dimension, ...] = ("g", "o", "k", "c")
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class MainMapping:
    """A loop nest of the main phase, the same for all tiles of a block.

    Attributes
    ----------
    order : tuple of {"g", "o", "k", "c"}
        Loops, outermost first.
    out_block, channel_block : int
        Output and input channels of a group in one step.
    levels : tuple of int
        For keep1, keep2, input and psum: the first loop of `order` that the operand's tile spans; 4
        for the tile of a single step.
    ahead : tuple of int
        How much of the next tile of each operand its scratchpad holds beside the current one: bits
        of masks, 16-bit words of inputs and sums.
    streamed : tuple of bool
        Operands of which the scratchpad does not hold even the tile of a step: they pass through at
        every step.
    """

    order: tuple[Dimension, ...]
    out_block: int
    channel_block: int
    levels: tuple[int, int, int, int]
    ahead: tuple[int, int, int, int]
    streamed: tuple[bool, bool, bool, bool] = (False, False, False, False)

    def __post_init__(self) -> None:
        if sorted(self.order) != sorted(DIMENSIONS):
            raise ValueError(f"order is {list(self.order)}; it must name g, o, k and c once each")
        if min(self.out_block, self.channel_block) < 1:
            raise ValueError("out_block and channel_block must be at least 1")
        if not all(0 <= level <= len(DIMENSIONS) for level in self.levels):
            raise ValueError(f"levels are {list(self.levels)}; each must be from 0 to 4")
        if min(self.ahead) < 0:
            raise ValueError(f"ahead is {list(self.ahead)}; none of it can be negative")

    def spans(self, operand: Operand, dimension: Dimension) -> bool:
        """Whether a tile of an operand spans all of a dimension, instead of one iteration of it."""
        return dimension in self.order[self.levels[OPERANDS.index(operand)] :]

    def ahead_of(self, operand: Operand) -> int:
        """How much of an operand's next tile is held together with the current one."""
        return self.ahead[OPERANDS.index(operand)]

    def to_dict(self) -> dict[str, Any]:
        """Return the mapping as plain data, as files and results hold it."""
        return {
            "order": " ".join(self.order),
            "out_block": self.out_block,
            "channel_block": self.channel_block,
            "levels": dict(zip(OPERANDS, self.levels, strict=True)),
            "ahead": dict(zip(OPERANDS, self.ahead, strict=True)),
            "streamed": [name for name, yes in zip(OPERANDS, self.streamed, strict=True) if yes],
        }


@dataclass(frozen=True, slots=True)
class Extents:
    """What a nest runs over, for one block.

    Attributes
    ----------
    groups : int
        Channel groups of PW1.
    outs : int
        Output channels that depend on the inputs of one group.
    taps : int
    channels : int
        Input channels of a group.
    mids : int
        Mid channels of a group: keep1's bits of a pixel.
    late : bool
        Whether DW comes last; keep2 then has a bit for each output channel, at the tap's pixel.
    """

    groups: int
    outs: int
    taps: int
    channels: int
    mids: int
    late: bool

    @staticmethod
    def of(block: Block) -> Extents:
        """Return the extents of a block."""
        groups = block.groups
        reached = sum(block.reach[place][0] for place in range(groups))
        return Extents(
            groups=groups,
            outs=reached * (block.out_channels // groups),
            taps=block.taps,
            channels=block.in_channels // groups,
            mids=block.mid_channels // groups,
            late=block.order == "pw-pw-dw",
        )

    def blocks(self, mapping: MainMapping) -> dict[Dimension, int]:
        """Return the iterations of each loop."""
        return {
            "g": self.groups,
            "o": -(-self.outs // mapping.out_block),
            "k": self.taps,
            "c": -(-self.channels // mapping.channel_block),
        }

    def relevant(self, operand: Operand) -> tuple[Dimension, ...]:
        """Return the loops that move an operand to another tile."""
        if operand == "keep1":
            return ("g", "k")
        if operand == "keep2":
            return ("o", "k") if self.late else ("g",)
        return ("g", "c", "k") if operand == "input" else ("g", "o")

    def tile_units(self, operand: Operand, mapping: MainMapping) -> tuple[int, bool]:
        """Return how much of an operand a PE's tile holds, and whether for the whole window.

        Returns
        -------
        units : int
            Bits of masks, or 16-bit words of inputs and sums.
        window : bool
            Whether the tile has all taps: then PEs share the pixels of the input map.
        """
        level = mapping.levels[OPERANDS.index(operand)]
        blocks = mapping.out_block, mapping.channel_block
        return self.tile_at(operand, mapping.order, level, blocks)

    def tile_at(
        self,
        operand: Operand,
        order: tuple[Dimension, ...],
        level: int,
        blocks: tuple[int, int],
    ) -> tuple[int, bool]:
        """Return `tile_units` of a nest whose mapping is not settled yet.

        Parameters
        ----------
        order : tuple of {"g", "o", "k", "c"}
        level : int
            The first loop of `order` that the tile spans.
        blocks : (int, int)
            Output and input channels of a step.
        """
        count, window, spanned = 1, False, order[level:]
        for dimension in self.relevant(operand):
            whole = dimension in spanned
            if dimension == "k":
                count, window = count * (self.taps if whole else 1), whole and self.taps > 1
            elif dimension == "g":
                count *= self.groups if whole else 1
            elif dimension == "o":
                count *= self.outs if whole else min(blocks[0], self.outs)
            else:
                count *= self.channels if whole else min(blocks[1], self.channels)
        return count * (self.mids if operand == "keep1" or self._wide(operand) else 1), window

    def _wide(self, operand: Operand) -> bool:
        return operand == "keep2" and not self.late


@dataclass(frozen=True, slots=True, eq=False)
class Nest:
    """The groups of a block in the order of a mapping, and its steps.

    Attributes
    ----------
    groups : (N,) int64
        Numbers of the block's groups, in streamed order.
    step_first : (S + 1,) int64
        Groups of step s are ``step_first[s]:step_first[s + 1]`` in that order.
    loops : dict of dimension to (S,) int64
        Iteration of each loop at each step; -1 where a step needs no tap (b2's bias groups) or no
        input (bias groups); the number of groups where it needs all groups' masks (bias groups of
        blocks where DW comes last).
    planes : (S,) uint8
        Which ReLU's clip terms a step adds, 1 or 2; 0 of all other steps, which come before.
    """

    groups: Ints
    step_first: Ints
    loops: dict[Dimension, Ints]
    planes: NDArray[np.uint8]

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.step_first) - 1


class GroupPlaces:
    """Each group's place in the four dimensions, from which all mappings of a block start.

    Parameters
    ----------
    block : Block
    fused : FusedWeight
    """

    def __init__(self, block: Block, fused: FusedWeight) -> None:
        self.extents = extents = Extents.of(block)
        self._block, self._fused = block, fused
        bias = fused.is_bias
        own = fused.out // (block.out_channels // block.groups)
        behind = fused.channel // extents.channels
        self.g: Ints = np.where(bias, extents.groups if extents.late else own, behind).astype(int)
        self.k: Ints = np.where(fused.tap == NONE, extents.taps, fused.tap).astype(np.int64)
        self.c: Ints = np.where(bias, NONE, fused.channel % extents.channels).astype(np.int64)
        self.o: Ints = self._outs()

    def _outs(self) -> Ints:
        """Number of each group's output among those that depend on its channel group."""
        block, extents = self._block, self.extents
        each = block.out_channels // block.groups
        reach = np.array(block.reach)  # [PW2's group][PW1's group]
        # All outputs stand behind the bias groups of blocks whose DW comes last.
        reach = np.column_stack([reach, np.ones(len(reach), bool)])
        rank = np.cumsum(reach, axis=0) - 1
        place = self._fused.out // each
        found: Ints = (rank[place, np.minimum(self.g, extents.groups)] * each).astype(np.int64)
        return found + self._fused.out % each

    @cached_property
    def sizes(self) -> Ints:
        """Candidates of each group."""
        return np.diff(self._fused.start).astype(np.int64)

    def nest(
        self,
        mapping: MainMapping,
        *,
        balanced: bool = False,
        loads: NDArray[np.float64] | None = None,
    ) -> Nest:
        """Return the block's groups in the order of a mapping.

        Parameters
        ----------
        mapping : MainMapping
        balanced : bool
            Whether large and small groups alternate inside a step (by their candidates), so that
            the lanes' FIFOs find time to drain; otherwise an input channel's outputs follow each
            other, as published.
        loads : (N,) float64 or None
            What to balance by instead: the additions that each group is expected to take.
        """
        last = np.int64(self.extents.channels)
        iteration: dict[Dimension, Ints] = {
            "g": self.g,
            "o": self.o // mapping.out_block,
            "k": self.k,
            "c": np.where(self.c == NONE, last, self.c // mapping.channel_block),
        }
        outer = [iteration[name] for name in mapping.order]
        # Bias groups of one tap follow its products.
        step = _code([self._fused.plane.astype(np.int64), *outer])
        order = np.argsort(_code([step, self.c - NONE, self.o]), kind="stable")
        new = np.diff(step[order], prepend=-1) != 0
        first = np.append(np.flatnonzero(new), len(order))
        if balanced:
            order = self._alternating(order, first, self.sizes if loads is None else loads)
        at = order[first[:-1]]
        loops = {name: iteration[name][at] for name in DIMENSIONS}
        loops["c"] = np.where(loops["c"] == last, NONE, loops["c"])
        loops["k"] = np.where(loops["k"] == self.extents.taps, NONE, loops["k"])
        return Nest(order, first, loops, self._fused.plane[at])

    @staticmethod
    def _alternating(order: Ints, first: Ints, loads: NDArray[Any]) -> Ints:
        """Sort each step's groups by load, and take the largest and the smallest in turn."""
        step = np.repeat(np.arange(len(first) - 1), np.diff(first))
        if loads.dtype == np.int64:
            by_size = order[np.argsort(_code([step, loads.max() - loads[order]]), kind="stable")]
        else:
            by_size = order[np.lexsort((-loads[order], step))]
        count, place = np.diff(first)[step], np.arange(len(order)) - first[step]
        source = np.where(place % 2 == 0, place // 2, count - 1 - place // 2)
        alternating: Ints = by_size[first[step] + source]
        return alternating


def _code(columns: Sequence[Ints]) -> Ints:
    """Return one number a row that sorts as the columns do, the first of them first.

    One sort of whole numbers takes a fifth of one by several keys. The numbers are those of a
    block's groups, their product far below 2 ** 63; none is negative.
    """
    found = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        found = found * (int(column.max(initial=0)) + 1) + column
    return found


def tile_changes(nest: Nest, extents: Extents, mapping: MainMapping, operand: Operand) -> Ints:
    """Return the steps at which an operand is fetched: its tile is another one than before.

    Steps that do not need the operand keep what is there. Masks have another tile where bits that
    say clipped take the place of those that say passed.

    Parameters
    ----------
    nest : Nest
    extents : Extents
    mapping : MainMapping
    operand : {"keep1", "keep2", "input", "psum"}
    """
    loops, plane = nest.loops, np.zeros(len(nest.planes), np.int64)
    outer = [
        name
        for name in mapping.order
        if name in extents.relevant(operand) and not mapping.spans(operand, name)
    ]
    needed = np.ones(len(loops["g"]), bool)
    if operand in ("keep1", "keep2"):
        plane = (nest.planes == (1 if operand == "keep1" else 2)).astype(np.int64)
    if operand == "input":
        needed = loops["c"] != NONE
    elif operand == "keep1" or "k" in extents.relevant(operand):
        needed = loops["k"] != NONE
    if operand == "keep1":
        needed = needed & (nest.planes < 2)
    steps = np.flatnonzero(needed)
    if not len(steps) or mapping.streamed[OPERANDS.index(operand)]:
        return steps
    tiles = np.stack([*(loops[name][steps] for name in outer), plane[steps]])
    moved = np.append(True, (tiles[:, 1:] != tiles[:, :-1]).any(axis=0))
    fetches: Ints = steps[moved]
    return fetches


def orders() -> Iterator[tuple[Dimension, ...]]:
    """Yield the loop orders that a search tries.

    Channel groups are independent of each other, so their loop stands outermost; the published
    order has the input channels outside of it.
    """
    yield ("c", "g", "o", "k")
    for first, second, third in ("okc", "ock", "koc", "kco", "cok", "cko"):
        yield ("g", first, second, third)  # type: ignore[misc]
