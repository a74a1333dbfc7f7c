"""A layer on SnaPEA's array: which sums stop where, and what the parts do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from archonsim.dataflow.even import shares
from archonsim.machines.snapea.spec import SnapeaSpec
from archonsim.machines.two_sided.work import MAX_TILES, LayerWork
from archonsim.network.layer import Layer
from archonsim.pe.early_kernel import LanePlan, LaneRun, Ordered, Windows, early_stops, lane_run
from archonsim.pe.early_order import ordered, with_thresholds
from archonsim.spec.parts import WORD_BITS
from archonsim.trace.tensors import Floats, LayerTensors

Stops = NDArray[np.int32]


def plan_layer(layer: Layer, spec: SnapeaSpec) -> LanePlan:
    """Cut a layer; it depends neither on values nor on the number of lanes.

    Rows share the output positions as long as each has `pe.windows`; others take more filters.
    """
    pe, positions = spec.pe, layer.out_h * layer.out_w
    parts = max(
        part
        for part in range(1, pe.rows + 1)
        if pe.rows % part == 0 and (part == 1 or part * pe.windows <= positions)
    )
    filters = pe.cols * pe.rows // parts
    return LanePlan(parts=parts, filters=filters, lanes=pe.lanes, meet=spec.meet == "round")


@dataclass(frozen=True, slots=True, eq=False)
class Stopped:
    """Where a layer's sums stop.

    Attributes
    ----------
    stops : (O, P * Q) int32
    looks : int
        Comparisons with a sign or a threshold.
    right, lost : int
        Outputs that speculation cuts, negative and positive ones.
    """

    stops: Stops
    looks: int = 0
    right: int = 0
    lost: int = 0

    @property
    def macs(self) -> int:
        """Products."""
        return int(self.stops.sum(dtype=np.int64))


class SnapeaLayer:
    """A layer with its weights, in order."""

    def __init__(self, layer: Layer, tensors: LayerTensors | None, spec: SnapeaSpec) -> None:
        self._layer, self._tensors, self._spec = layer, tensors, spec
        self.plan = plan_layer(layer, spec)
        self._windows = Windows(
            out_h=layer.out_h,
            out_w=layer.out_w,
            kernel_h=layer.kernel_h,
            kernel_w=layer.kernel_w,
            stride_h=layer.stride_h,
            stride_w=layer.stride_w,
            groups=layer.groups,
        )
        self._thresholds: Floats | None = None

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Weights of each filter that a sum meets which does not stop, (O,)."""
        layer = self._layer
        whole = np.full(layer.out_channels, layer.weights // layer.out_channels, np.int64)
        skips = self._spec.stops and self._spec.zero_weights == "skip"
        if not skips or self._tensors is None:
            return whole
        weight = self._tensors.weight.reshape(layer.out_channels, -1)
        kept: NDArray[np.int64] = np.count_nonzero(weight, axis=1) * (self._tensors.scale != 0)
        return kept

    @cached_property
    def _order(self) -> Ordered:
        assert self._tensors is not None
        spec = self._spec
        return ordered(
            self._tensors,
            largest_first=spec.negatives == "largest",
            keep_zeros=spec.zero_weights == "keep",
            prefix_share=spec.prefix_share if spec.mode == "predictive" else 0.0,
        )

    def speculate(self, values: Sequence[Floats]) -> None:
        """Choose thresholds on what the layer reads for some images, each (C, H, W)."""
        runs = [early_stops(self._order, self._padded(x), self._windows) for x in values]
        sums, partial = (np.concatenate([run[part] for run in runs], axis=1) for part in (1, 2))
        self._order = with_thresholds(self._order, sums, partial, self._spec.lost_share)

    def _padded(self, x: Floats) -> Floats:
        top, bottom, left, right = self._layer.padding
        return np.pad(x, ((0, 0), (top, bottom), (left, right)))

    def stop(self, x: Floats | None) -> Stopped:
        """Return where sums stop for an image; ``x : (C, H, W)``, or None if they may not."""
        positions = self._layer.out_h * self._layer.out_w
        if x is None or not self._spec.stops:
            lengths = self.lengths.astype(np.int32)[:, None]
            return Stopped(np.broadcast_to(lengths, (len(lengths), positions)))
        order = self._order
        stops, sums, partial = early_stops(order, self._padded(x), self._windows)
        speculates = order.prefix > 0
        cut = speculates[:, None] & (partial < order.threshold[:, None])
        looks = int(np.maximum(stops - order.certain[:, None], 0).sum(dtype=np.int64))
        lost = int(np.count_nonzero(cut & (sums > 0)))
        return Stopped(
            stops,
            looks + int(np.count_nonzero(speculates)) * positions,
            int(np.count_nonzero(cut)) - lost,
            lost,
        )

    def work(self, x: Floats | None) -> LayerWork:
        """Return what the layer takes for an image; `x` as in `stop`."""
        layer, spec, plan = self._layer, self._spec, self.plan
        stopped = self.stop(x)
        run = lane_run(stopped.stops, plan)
        steps = int(run.steps.sum())
        cycles = int(run.passes.sum())
        used = plan.parts * min(plan.filters, layer.out_channels)
        outputs = layer.out_channels * layer.out_h * layer.out_w
        weights = self._words(int(self.lengths.sum()))
        inputs = layer.in_channels * layer.in_h * layer.in_w
        # Inputs have half of the memory. Of larger ones, either all come again for every round of
        # a group's filters, or parts of them come once, each with all weights.
        rounds = -(-(layer.out_channels // layer.groups) // plan.filters)
        strips = -(-inputs // max(1, spec.glb.words // 2))
        again = inputs * rounds + weights, inputs + weights * strips
        moved = (inputs * rounds, weights) if again[0] <= again[1] else (inputs, weights * strips)
        input_words, weight_words = moved if strips > 1 else (inputs, weights)
        speculation = {"speculation.right": stopped.right, "speculation.lost": stopped.lost}
        return LayerWork(
            passes=self._passes(run),
            macs=stopped.macs,
            weight_words=weight_words,
            input_words=input_words,
            output_words=outputs,
            bounds={
                "lockstep": -(-steps // spec.pe.count),
                "mapping": -(-steps // used),
                "imbalance": cycles,
            },
            actions=self._actions(stopped, run, weight_words, outputs),
            activity=Counter({name: count for name, count in speculation.items() if count}),
        )

    def _passes(self, run: LaneRun) -> NDArray[np.int64]:
        """Cycles of each round; of PEs that do not meet, even shares of all."""
        if self.plan.meet:
            return run.passes
        parts, cycles = min(MAX_TILES, self._layer.out_channels), int(run.passes.sum())
        return np.array(shares(cycles, parts), np.int64)

    def _words(self, weights: int) -> int:
        """16-bit words of weights in memory, each with its index where they have an order."""
        return weights + self._index_words(weights)

    def _index_words(self, weights: int) -> int:
        """16-bit words of indices, as wide as a window needs."""
        window = self._layer.weights // self._layer.out_channels
        bits = max(1, (window - 1).bit_length())
        return -(-weights * bits // WORD_BITS) if self._spec.stops else 0

    def _actions(
        self, stopped: Stopped, run: LaneRun, weight_words: int, outputs: int
    ) -> Counter[tuple[str, str, str]]:
        """Count what energy is charged for, in 16-bit words.

        Every product reads an input of its own and adds to a register; a weight is read once for
        all lanes. Filters longer than a PE's buffer come from the map memory again for each group
        of lanes.
        """
        macs, steps = stopped.macs, int(run.steps.sum())
        fits = self.lengths <= self._spec.pe.weight_words
        filled = int(np.where(fits, self.lengths * self.plan.parts, run.steps).sum())
        sent = int(np.where(fits, self.lengths, run.steps).sum()) if self.plan.meet else filled
        actions = {
            ("mac", "multiply", "compute"): macs,
            ("sign_check", "look", "compute"): stopped.looks,
            ("glb", "read", "input"): macs,
            ("glb", "write", "output"): outputs,
            ("glb", "write", "weight"): weight_words,
            ("glb", "read", "weight"): self._words(sent),
            ("weight_spad", "write", "weight"): filled,
            ("weight_spad", "read", "weight"): steps,
            ("index_spad", "write", "weight"): self._index_words(filled),
            ("index_spad", "read", "weight"): self._index_words(steps),
            ("pe_registers", "read", "psum"): macs,
            ("pe_registers", "write", "psum"): macs,
        }
        return Counter({key: times for key, times in actions.items() if times})
