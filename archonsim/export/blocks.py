"""Finding bottlenecks that ARCHON can fuse, and saying of the others why they are none."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from archonsim.export.graph import Graph
from archonsim.export.units import Unit
from archonsim.network.block import Block, Order, Residual
from archonsim.network.layer import Layer

Checks = Iterator[tuple[bool, Callable[[], str]]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """What may be a bottleneck.

    A depthwise layer, or another one with a window between two 1x1 convolutions.

    Attributes
    ----------
    window : Unit
        The layer in question.
    units : tuple of Unit
        In order of execution, those that were found: three where it is fusable.
    order : str
    reason : str
        Why it does not fuse; empty where it does.
    shuffle : int
    residual : {"none", "add"}
    end : str
        The value that leaves the block.
    absorbed : tuple of str
        Nodes of the graph that are part of the block: its shuffles and its sum.
    clipped : tuple of float, or None
        Share of activations above the upper ends of its two ReLUs, where one of them has some and
        images were run.
    """

    window: Unit
    units: tuple[Unit, ...]
    order: Order = "pw-dw-pw"
    reason: str = ""
    shuffle: int = 0
    residual: Residual = "none"
    end: str = ""
    absorbed: tuple[str, ...] = ()
    clipped: tuple[float, float] | None = None

    @property
    def fusable(self) -> bool:
        """Whether it is a block."""
        return not self.reason

    @property
    def may_clip(self) -> bool:
        """Whether one of its ReLUs has an upper end, as a ReLU6 has."""
        return self.fusable and any(unit.end < math.inf for unit in self.units[:2])

    def block(self, index: int) -> Block:
        """Return it as a block of a workload."""
        first, second, third = (unit.layer for unit in self.units)
        dw, pw2 = (second, third) if self.order == "pw-dw-pw" else (third, second)
        clips = [
            float(np.float32(unit.end)) if share else 0.0
            for unit, share in zip(self.units, self.clipped or (0.0, 0.0), strict=False)
        ]
        return Block(
            index=index,
            pw1=replace(first, role="pw1"),
            dw=dw,
            pw2=replace(pw2, role="pw2"),
            order=self.order,
            residual=self.residual,
            shuffle=self.shuffle,
            clips=(clips[0], clips[1]),
        )


def find_blocks(graph: Graph, layers: Mapping[str, Unit | Layer]) -> list[Candidate]:
    """Return all candidates in order.

    No layer is part of two blocks: each wide map has one reader, and a block's last layer has no
    ReLU, which its others have.
    """
    search = _Search(graph, layers)
    return [
        search.candidate(unit)
        for unit in layers.values()
        if isinstance(unit, Unit) and search.is_candidate(unit)
    ]


def _what(layer: Layer) -> str:
    window = f"{layer.kernel_h}x{layer.kernel_w}"
    if layer.kind == "fc":
        return "a linear layer"
    stride = "" if layer.stride_h == layer.stride_w == 1 else f" with stride {layer.stride_h}"
    return f"a {window} {'depthwise ' if layer.kind == 'depthwise' else ''}convolution{stride}"


class _Search:
    """Looks around a layer in the graph."""

    def __init__(self, graph: Graph, layers: Mapping[str, Unit | Layer]) -> None:
        self._graph, self._layers = graph, layers
        self._by_post = {unit.post: unit for unit in layers.values() if isinstance(unit, Unit)}

    def is_candidate(self, unit: Unit) -> bool:
        """Whether a layer is depthwise, or has a window and stands between two 1x1 convolutions."""
        if unit.layer.kind == "depthwise":
            return True
        before, after = self._by_post.get(unit.source), self._after(unit.post)
        wide = unit.layer.kind == "conv" and unit.layer.kernel_h * unit.layer.kernel_w > 1
        return (
            wide
            and before is not None
            and after is not None
            and before.is_pointwise
            and after.is_pointwise
        )

    def candidate(self, unit: Unit) -> Candidate:
        """Try both orders; of two that fail, the one that went further says why."""
        tries: list[tuple[int, Candidate]] = []
        for order, checks in (("pw-dw-pw", self._pw_dw_pw), ("pw-pw-dw", self._pw_pw_dw)):
            units, passed, reason = [unit], 0, ""
            for fits, why in checks(unit, units):
                if not fits:
                    reason = why()
                    break
                passed += 1
            made = Candidate(window=unit, units=tuple(units), order=order, reason=reason)  # type: ignore[arg-type]
            if made.fusable:
                return self._ended(made)
            tries.append((passed, made))
        return max(tries, key=lambda one: one[0])[1]

    def _after(self, value: str) -> Unit | None:
        """Return the layer that alone reads a value."""
        reader = self._graph.only_reader(value)
        unit = self._layers.get(reader.name) if reader is not None else None
        return unit if isinstance(unit, Unit) else None

    def _origin(self, value: str) -> str:
        """Say what makes a value that is no layer's own output."""
        node = self._graph.by_name[value]
        return (
            "the network's input"
            if node.op == "input"
            else f"{node.label} ({node.kind or node.op})"
        )

    def _between(self, value: str) -> str:
        """Say what keeps a value from being read by one layer alone."""
        readers = self._graph.readers[value]
        if value in self._graph.outputs:
            return "leaves the network"
        if len(readers) == 1:
            return f"goes to {readers[0].label} ({readers[0].kind or readers[0].op})"
        return f"is read {len(readers)} times: by {', '.join(node.label for node in readers)}"

    def _pw_dw_pw(self, dw: Unit, units: list[Unit]) -> Checks:
        first = self._by_post.get(dw.source)
        yield (
            first is not None,
            lambda: f"before it stands {self._origin(dw.source)}, not a 1x1 convolution",
        )
        assert first is not None
        yield from self._expands(first)
        units.insert(0, first)
        yield (
            dw.layer.kind == "depthwise",
            lambda: f"{dw.name} is {_what(dw.layer)} over many channels, not depthwise",
        )
        yield from self._masks(dw)
        last = self._after(dw.post)
        yield (
            last is not None,
            lambda: (
                f"the output of {dw.name} {self._between(dw.post)}; a 1x1 convolution alone may"
                " read it"
            ),
        )
        assert last is not None
        units.append(last)
        yield (
            last.is_pointwise,
            lambda: f"{last.name} behind it is {_what(last.layer)}, not 1x1 with stride 1",
        )
        yield (
            last.activation == "none",
            lambda: f"{last.name} is followed by {last.activation}; a block ends in a linear layer",
        )
        yield from self._compatible(first, last)

    def _pw_pw_dw(self, dw: Unit, units: list[Unit]) -> Checks:
        second = self._by_post.get(dw.source)
        yield (
            second is not None,
            lambda: f"before it stands {self._origin(dw.source)}, not a 1x1 convolution",
        )
        assert second is not None
        yield from self._expands(second)
        units.insert(0, second)
        yield (
            dw.layer.kind == "depthwise",
            lambda: f"{dw.name} is {_what(dw.layer)} over many channels, not depthwise",
        )
        shuffle = self._graph.by_name[second.source]
        first = self._by_post.get(shuffle.inputs[0] if shuffle.op == "shuffle" else second.source)
        yield (
            first is not None,
            lambda: (
                f"before {second.name} stands {self._origin(second.source)}, not a 1x1 convolution"
            ),
        )
        assert first is not None
        yield from self._expands(first)
        units.insert(0, first)
        alone = shuffle.op != "shuffle" or self._graph.only_reader(shuffle.name) is not None
        yield alone, lambda: f"the shuffled output of {first.name} {self._between(shuffle.name)}"
        yield (
            dw.activation == "none",
            lambda: f"{dw.name} is followed by {dw.activation}; a block ends in a linear layer",
        )
        yield from self._compatible(first, second)

    def _expands(self, unit: Unit) -> Checks:
        yield (
            unit.is_pointwise,
            lambda: f"{unit.name} before it is {_what(unit.layer)}, not 1x1 with stride 1",
        )
        yield from self._masks(unit)
        alone = self._graph.only_reader(unit.post) is not None
        yield alone, lambda: f"the output of {unit.name} {self._between(unit.post)}"

    def _masks(self, unit: Unit) -> Checks:
        yield unit.activation != "none", lambda: f"no activation follows {unit.name}"
        yield (
            unit.end > 0,
            lambda: (
                f"{unit.name} is followed by {unit.activation}, which no mask can replace; ReLU,"
                " ReLU6 and other clamps from 0 on can"
            ),
        )

    def _compatible(self, first: Unit, last: Unit) -> Checks:
        groups = first.layer.groups, last.layer.groups
        yield (
            groups[0] == groups[1],
            lambda: (
                f"{first.name} has {groups[0]} groups and {last.name} {groups[1]}; they must agree"
            ),
        )

    def _ended(self, found: Candidate) -> Candidate:
        """Take the shuffle and the residual sum behind a block, and the shuffle within, into it."""
        absorbed: list[str] = []
        shuffle, end = 0, found.units[-1].post
        if found.order == "pw-pw-dw":
            inner = self._graph.by_name[found.units[1].source]
            shuffle, absorbed = (
                (inner.window.groups, [inner.name]) if inner.op == "shuffle" else (0, [])
            )
        reader = self._graph.only_reader(end)
        if found.order == "pw-dw-pw" and reader is not None and reader.op == "shuffle":
            shuffle, end = reader.window.groups, reader.name
            absorbed.append(end)
            reader = self._graph.only_reader(end)
        residual: Residual = "none"
        source = found.units[0].source
        joins = (
            reader is not None
            and reader.op == "add"
            and sorted(reader.inputs) == sorted((end, source))
        )
        shapes = {self._graph.by_name[one].shape for one in (source, end)}
        if joins and reader is not None and shapes == {reader.shape}:
            residual, end = "add", reader.name
            absorbed.append(end)
        return replace(found, shuffle=shuffle, residual=residual, end=end, absorbed=tuple(absorbed))
