"""Dilated and transposed convolutions as plain ones on the phases of their maps.

The rows of a map fall into ``d`` phases: rows ``0, d, 2 d, ...``, rows ``1, d + 1, ...``, and so
on. A convolution of dilation ``d`` and stride 1 reads one phase of its input for each phase of its
output, so it is ``d`` plain convolutions along each axis, all with the same weights (TensorFlow's
space-to-batch). A transposed convolution of stride ``s`` meets every s-th tap of its window in each
phase of its output, so it is ``s`` plain convolutions along each axis, each with its share of the
weights, turned round. Sums and MACs are those of the convolution itself; a machine that has
neither kind runs both like this.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from archonsim.export.graph import Graph, Node, Runner, Window
from archonsim.export.source import Source
from archonsim.trace.tensors import Floats

#: Phases of one convolution, and weights in all of them together, at most (own decisions: copies
#: of dilated weights are stored one by one, and these are 64 MB of them).
MOST_PHASES: Final = 64
MOST_WEIGHTS: Final = 2**24

#: First pixel, step and number of pixels along one axis.
Stride = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One axis of a plain convolution that makes one phase of a map.

    Attributes
    ----------
    number : int
        Of the phase.
    made, read : (first, step, count)
        Pixels of the output that it makes, and of the input that it reads.
    taps : tuple of int
        Taps of the whole window that it has, in the order in which it meets pixels.
    stride, before, after : int
        Its stride and padding.
    """

    number: int
    made: Stride
    read: Stride
    taps: tuple[int, ...]
    stride: int
    before: int
    after: int


def dilated_phases(
    size: int, out: int, taps: int, *, stride: int, dilation: int, before: int
) -> list[Phase | None]:
    """Return the phases of a dilated convolution along one axis.

    Parameters
    ----------
    size, out : int
        Pixels of input and output.
    taps, stride, dilation, before : int
        Of the window; zeros before the first pixel.

    Returns
    -------
    phases : list of Phase or None
        None for one that meets no pixel of the input.
    """
    common = math.gcd(stride, dilation)
    phases = min(dilation // common, out)
    found = []
    for number in range(phases):
        made = (number, dilation // common, -(-(out - number) // (dilation // common)))
        at, first = divmod(stride * number - before, dilation)
        read = (first, dilation, max(0, -(-(size - first) // dilation)))
        found.append(_phase(number, made, read, tuple(range(taps)), (stride // common, at)))
    return found


def transposed_phases(
    size: int, out: int, taps: int, *, stride: int, before: int
) -> list[Phase | None]:
    """Return the phases of a transposed convolution along one axis.

    Parameters
    ----------
    size, out : int
        Pixels of input and output.
    taps, stride : int
        Of the window.
    before : int
        Pixels that are cut off before the first of the output, as the frameworks' padding does.

    Returns
    -------
    phases : list of Phase or None
        None for one that meets no pixel of the input.
    """
    found = []
    for number in range(min(stride, out)):
        made = (number, stride, -(-(out - number) // stride))
        at, first = divmod(number + before, stride)
        met = tuple(range(first, taps, stride))[::-1]
        found.append(_phase(number, made, (0, 1, size), met, (1, at - len(met) + 1)))
    return found


def _phase(
    number: int, made: Stride, read: Stride, taps: tuple[int, ...], window: tuple[int, int]
) -> Phase | None:
    """Pad, or cut off, what is read so that windows `(stride, first pixel)` just cover it."""
    (stride, at), (first, step, count) = window, read
    end = at + stride * (made[2] - 1) + len(taps)
    begin, stop = max(0, at), min(count, end)
    if not taps or begin >= stop:
        return None
    inside = (first + begin * step, step, stop - begin)
    return Phase(
        number=number, made=made, read=inside, taps=taps, stride=stride,
        before=begin - at, after=end - stop,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """Which pixels of which value another value has.

    Attributes
    ----------
    whole : str
    rows, columns : (first, step, count)
    """

    whole: str
    rows: Stride
    columns: Stride

    def of(self, value: Floats) -> Floats:
        """Return the part of a whole value (1, C, H, W)."""
        (top, down, height), (left, over, width) = self.rows, self.columns
        return np.ascontiguousarray(value[:, :, top::down, left::over][:, :, :height, :width])


@dataclass(frozen=True, slots=True)
class PhaseRunner:
    """Runs a network some of whose values are parts of others.

    Attributes
    ----------
    runner : Runner
        Of the network as it is: it computes whole values.
    parts : mapping of value to Part
    """

    runner: Runner
    parts: Mapping[str, Part]

    def evaluate(self, known: Mapping[str, Floats], wanted: Sequence[str]) -> dict[str, Floats]:
        """Return values by name; see :class:`~archonsim.export.graph.Runner`."""
        whole = {name: value for name, value in known.items() if name not in self.parts}
        needed = dict.fromkeys(
            self.parts[name].whole if name in self.parts else name for name in wanted
        )
        missing = [name for name in needed if name not in whole]
        found = self.runner.evaluate(whole, missing) if missing else {}
        values = whole | found
        return {
            name: self.parts[name].of(values[self.parts[name].whole])
            if name in self.parts
            else values[name]
            for name in wanted
        }


def in_phases(source: Source) -> Source:
    """Write dilated and transposed convolutions as plain ones.

    The normalisations and the activation behind one are written once for each phase, too. Behind
    them the phases are put together again, which costs nothing.

    Returns
    -------
    Source
        The same one where the network has none. A convolution of more than `MOST_PHASES` phases
        or `MOST_WEIGHTS` weights, or one of whose phases meets no pixel, stays unmodelled.
    """
    graph = source.graph
    if not any(node.op in ("dilated", "transposed") for node in graph.nodes):
        return source
    parts: dict[str, Part] = {}
    nodes: list[Node] = []
    joined: dict[str, Node] = {}
    behind: set[str] = set()
    for node in graph.nodes:
        if node.op in ("dilated", "transposed"):
            chain = [node, *graph.followers(node)]
            made = list(_convolutions(node, graph.by_name[node.inputs[0]]))
            if not made:
                nodes.append(replace(node, op="unmodelled"))
                continue
            outputs = []
            for convolution in made:
                nodes += _written(convolution, node, chain, parts)
                outputs.append(nodes[-1].name)
            behind.update(one.name for one in chain)
            joined[chain[-1].name] = Node(
                name=chain[-1].name,
                op="free",
                inputs=tuple(outputs),
                shape=node.shape,
                label=node.label,
                kind="phases put together",
            )
        if node.name in joined:
            nodes.append(joined[node.name])
        elif node.name not in behind:
            nodes.append(node)
    return replace(
        source, graph=Graph(tuple(nodes), graph.outputs), runner=PhaseRunner(source.runner, parts)
    )


@dataclass(frozen=True, slots=True)
class _Convolution:
    """A plain convolution that makes one phase of a map."""

    rows: Phase
    columns: Phase
    weight: Floats

    @property
    def ending(self) -> str:
        """What sets its name apart: the phase of rows, and of columns."""
        return f".phase{self.rows.number}_{self.columns.number}"


def _convolutions(node: Node, source: Node) -> Iterator[_Convolution]:
    """Yield the plain convolutions of a node, or none where it stays unmodelled."""
    weight, window = node.tensors["weight"], node.window
    if node.op == "transposed":
        each = (weight.shape[0] // window.groups, weight.shape[1])
        by_group = weight.reshape(window.groups, *each, *weight.shape[2:]).swapaxes(1, 2)
        weight = by_group.reshape(-1, each[0], *weight.shape[2:])
    axes = []
    for axis in (0, 1):
        sizes = (source.map[1 + axis], node.map[1 + axis], window.kernel[axis])
        stride, before = window.stride[axis], window.padding[2 * axis]
        axes.append(
            transposed_phases(*sizes, stride=stride, before=before)
            if node.op == "transposed"
            else dilated_phases(
                *sizes, stride=stride, dilation=window.dilation[axis], before=before
            )
        )
    rows, columns = ([one for one in phases if one is not None] for phases in axes)
    count = len(axes[0]) * len(axes[1])
    copies = 1 if node.op == "transposed" else count
    whole = len(rows) * len(columns) == count
    if not whole or count > MOST_PHASES or copies * weight.size > MOST_WEIGHTS:
        return
    for row in rows:
        for column in columns:
            own = weight[:, :, row.taps][:, :, :, column.taps]
            yield _Convolution(row, column, np.ascontiguousarray(own))


def _written(
    made: _Convolution, node: Node, chain: Sequence[Node], parts: dict[str, Part]
) -> Iterator[Node]:
    """Yield the nodes of one phase: what it reads, its convolution, what follows that."""
    rows, columns = made.rows, made.columns
    source = f"{node.name}{made.ending}.input"
    parts[source] = Part(node.inputs[0], rows.read, columns.read)
    weight = made.weight
    channels = weight.shape[1] * node.window.groups
    yield Node(
        name=source,
        op="free",
        inputs=node.inputs,
        shape=(1, channels, rows.read[2], columns.read[2]),
        label=f"{node.label}{made.ending}.input",
        kind="phase of a map",
    )
    window = Window(
        kernel=(weight.shape[2], weight.shape[3]),
        stride=(rows.stride, columns.stride),
        padding=(rows.before, rows.after, columns.before, columns.after),
        groups=node.window.groups,
    )
    tensors = {"weight": weight, "bias": node.tensors["bias"]}
    for one in chain:
        name = f"{one.name}{made.ending}"
        parts[name] = Part(one.name, rows.made, columns.made)
        written = replace(
            one,
            name=name,
            label=f"{one.label}{made.ending}",
            inputs=(source,),
            shape=(1, len(weight), rows.made[2], columns.made[2]),
        )
        source = name
        plain = one is node
        yield replace(written, op="conv", window=window, tensors=tensors) if plain else written
