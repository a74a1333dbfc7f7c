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
        weights = int(np.count_nonzero(self._nonzero))
        outputs = layer.out_channels * layer.out_h * layer.out_w
        input_words = spec.words(held, inputs, packed=spec.skips_inputs)
        # Inputs that find no room in the GLB come again for every round of their group.
        if input_words > spec.glb.words:
            input_words *= -(-len(self._rounds) // layer.groups)
        return LayerWork(
            passes=np.diff(ends),
            macs=run.products,
            weight_words=spec.words(weights, layer.weights, packed=spec.skips_weights),
            input_words=input_words,
            output_words=spec.words(read.nonzero_outputs, outputs, packed=spec.skips_inputs),
            bounds={
                "mapping": -(-run.products * len(self._rounds) // (used * units)),
                "imbalance": cycles,
            },
            actions=self._actions(run, padded),
        )

    def _actions(self, run: JoinRun, padded: NDArray[np.uint8]) -> Counter[tuple[str, str, str]]:
        """Count what energy is charged for, in 16-bit words: operands of products, and chunks."""
        layer, bits = self._layer, self._spec.value_bits

        def words(values: int, each: int = bits) -> int:
            return -(-values * each // WORD_BITS)

        # A cluster takes the window of a position once a round: its values, and its bit mask.
        share = padded.sum(dtype=np.int64) / max(1, padded.size)
        window = layer.kernel_h * layer.kernel_w * layer.in_channels // layer.groups
        if layer.kind == "depthwise":
            window *= min(self._spec.pe.cols, layer.out_channels)
        taken = window * layer.out_h * layer.out_w * len(self._rounds)
        actions = {
            ("mac", "multiply", "compute"): run.products,
            ("ifmap_spad", "read", "input"): words(run.products),
            ("weight_spad", "read", "weight"): words(run.products),
            ("psum_spad", "read", "psum"): run.products,
            ("psum_spad", "write", "psum"): run.products,
            ("glb", "read", "input"): words(round(taken * float(share))) + words(taken, 1),
        }
        return Counter({key: times for key, times in actions.items() if times})
