"""A layer on SparTen's clusters: filters dealt out to units, and what the parts do."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from archonsim.machines.sparten.spec import SpartenSpec
from archonsim.machines.two_sided.bits import LayerInput, Nonzero
from archonsim.machines.two_sided.work import MAX_TILES, LayerWork
from archonsim.network.layer import Layer
from archonsim.pe.join_kernel import JoinPlan, JoinRun, join_run
from archonsim.spec.parts import WORD_BITS

Round = list[tuple[int, int]]


def _pairs(filters: NDArray[np.int64], counts: NDArray[np.int64]) -> list[list[int]]:
    """Pair the densest filter with the sparsest, and so on inwards."""
    dense_first = filters[np.argsort(-counts[filters], kind="stable")].tolist()
    half = -(-len(dense_first) // 2)
    return [
        dense_first[at : at + 1]
        + dense_first[len(dense_first) - 1 - at :][:1] * (at < len(dense_first) // 2)
        for at in range(half)
    ]


def deal(layer: Layer, counts: NDArray[np.int64], spec: SpartenSpec) -> list[Round]:
    """Deal filters out to units, round by round.

    Parameters
    ----------
    layer : Layer
    counts : (O,) int64
        Non-zero weights of each filter.
    spec : SpartenSpec

    Returns
    -------
    rounds : list of rounds, each a list of (filter, unit)
    """
    units, each = spec.pe.cols, layer.out_channels // layer.groups
    numbers = np.arange(layer.out_channels)
    if layer.kind == "depthwise" or each == layer.in_channels // layer.groups == 1:
        runs = [numbers[first : first + units] for first in range(0, len(numbers), units)]
        return [[(int(m), at) for at, m in enumerate(run)] for run in runs]
    # Two filters a unit halve the rounds: only where positions and rounds still fill the clusters.
    enough = layer.groups * -(-each // (2 * units)) * layer.out_h * layer.out_w >= spec.pe.rows
    paired = spec.balance == "greedy" and each > units and enough
    rounds: list[Round] = []
    for own in np.split(numbers, layer.groups):
        shares = _pairs(own, counts) if paired else [[int(m)] for m in own]
        for first in range(0, len(shares), units):
            chosen = shares[first : first + units]
            rounds.append([(m, unit) for unit, share in enumerate(chosen) for m in share])
    return rounds


class SpartenLayer:
    """A layer with its weights, dealt out to units."""

    def __init__(self, layer: Layer, nonzero: Nonzero, spec: SpartenSpec) -> None:
        self._layer, self._nonzero, self._spec = layer, nonzero, spec
        self._weights = int(np.count_nonzero(nonzero))
        counts = nonzero.reshape(layer.out_channels, -1).sum(axis=1, dtype=np.int64)
        self._rounds = deal(layer, counts, spec)
        self._plan = JoinPlan(
            out_h=layer.out_h,
            out_w=layer.out_w,
            stride_h=layer.stride_h,
            stride_w=layer.stride_w,
            groups=layer.groups,
            clusters=spec.pe.rows,
            chunk=spec.pe.chunk,
        )

    def _clusters(self, run: JoinRun) -> NDArray[np.int64]:
        """Cycles of each cluster: positions of all rounds are dealt out one after the other."""
        positions, clusters = self._layer.out_h * self._layer.out_w, self._spec.pe.rows
        total = np.zeros(clusters, np.int64)
        for at, cycles in enumerate(run.cycles):
            total += np.roll(cycles, at * positions % clusters)
        return total

    def work(self, read: LayerInput) -> LayerWork:
        """Return what it takes for one image."""
        layer, spec = self._layer, self._spec
        top, bottom, left, right = layer.padding
        padded = np.pad(read.alive, ((0, 0), (top, bottom), (left, right)))
        run = join_run(self._nonzero, padded, self._rounds, self._plan)
        clusters = self._clusters(run)
        cycles = int(clusters.max())
        items = len(self._rounds) * layer.out_h * layer.out_w
        parts = min(MAX_TILES, items)
        ends = np.array([cycles * part // parts for part in range(parts + 1)], np.int64)
        used = min(items, spec.pe.rows)
        units = sum(1 + one[-1][1] for one in self._rounds)
        held, inputs = int(read.alive.sum(dtype=np.int64)), read.alive.size
        outputs = layer.out_channels * layer.out_h * layer.out_w
        input_words = spec.words(held, inputs, packed=spec.skips_inputs)
        output_words = spec.words(read.nonzero_outputs, outputs, packed=spec.skips_inputs)
        weight_words = spec.words(self._weights, layer.weights, packed=spec.skips_weights)
        # Inputs that find no room in the GLB come again for every round of their group.
        if input_words > spec.glb.words:
            input_words *= -(-len(self._rounds) // layer.groups)
        return LayerWork(
            passes=np.diff(ends),
            macs=run.products,
            weight_words=weight_words,
            input_words=input_words,
            output_words=output_words,
            bounds={
                "mapping": -(-run.products * len(self._rounds) // (used * units)),
                "imbalance": cycles,
            },
            actions=self._actions(run, padded)
            + Counter(
                {("glb", "write", "output"): output_words, ("glb", "write", "weight"): weight_words}
            ),
        )

    def _loads(self) -> int:
        """Times that a cluster takes the weights of a round.

        Once where a filter is one chunk, which stays. Else a chunk stays for as many positions as a
        unit has sums, and comes again for the next ones.
        """
        layer, pe = self._layer, self._spec.pe
        width = layer.kernel_w * layer.in_channels // layer.groups
        if layer.kind == "depthwise" or layer.kernel_h * -(-width // pe.chunk) == 1:
            return 1
        filters = max(len(one) - one[-1][1] for one in self._rounds)
        positions = -(-layer.out_h * layer.out_w // pe.rows)
        return -(-positions // max(1, pe.psum_words // filters))

    def _actions(self, run: JoinRun, padded: NDArray[np.uint8]) -> Counter[tuple[str, str, str]]:
        """Count what energy is charged for, in 16-bit words: operands of products, and chunks."""
        layer, spec = self._layer, self._spec
        bits, positions = spec.value_bits, layer.out_h * layer.out_w

        def words(values: int, each: int = bits) -> int:
            return -(-values * each // WORD_BITS)

        # A cluster takes the window of a position once a round: its values, and its bit mask.
        share = padded.sum(dtype=np.int64) / max(1, padded.size)
        window = layer.kernel_h * layer.kernel_w * layer.in_channels // layer.groups
        units = 1 + max(one[-1][1] for one in self._rounds)
        if layer.kind == "depthwise":  # each unit has a window of its own
            window, units = window * units, 1
        taken = window * positions * len(self._rounds)
        chunks = words(round(taken * float(share))) + words(taken, 1)
        loads = self._loads() * min(spec.pe.rows, positions)
        filters = loads * spec.words(self._weights, layer.weights, packed=spec.skips_weights)
        actions = {
            ("prefix_sums", "find", "compute"): run.products,
            ("encoder", "find", "compute"): run.products,
            ("mac", "multiply", "compute"): run.products,
            ("ifmap_spad", "read", "input"): words(run.products),
            ("weight_spad", "read", "weight"): words(run.products),
            ("psum_spad", "read", "psum"): run.products,
            ("psum_spad", "write", "psum"): run.products,
            ("ifmap_spad", "write", "input"): units * chunks,
            ("weight_spad", "write", "weight"): filters,
            ("glb", "read", "input"): chunks,
            ("glb", "read", "weight"): filters,
        }
        return Counter({key: times for key, times in actions.items() if times})
