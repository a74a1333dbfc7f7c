"""A layer on SCNN's PEs: planar tiles, rounds of output channels, and what the parts do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import ceil, log2

import numpy as np

from archonsim.machines.scnn.spec import ScnnSpec
from archonsim.machines.two_sided.bits import LayerInput, Nonzero
from archonsim.machines.two_sided.work import LayerWork
from archonsim.network.layer import Layer
from archonsim.pe.cartesian_kernel import NO_BANKS, CartesianPlan, CartesianRun, cartesian_run
from archonsim.spec.parts import WORD_BITS

#: 16-bit slices of what the crossbar routes: a sum and its address (own decision).
CROSSBAR_SLICES = 2
#: Accumulators of a bank count twice: one set is read out while the other adds (own decision).
ACCUMULATOR_SETS = 2


def _outputs(pixels: int, kernel: int, stride: int) -> int:
    """Outputs along an axis that a run of input pixels takes part in, halo included."""
    return -(-(pixels + kernel - 1) // stride)


def _choices(layer: Layer, spec: ScnnSpec) -> Iterator[tuple[int, int, int, int]]:
    """Yield ways to cut a layer: (dense cycles, output channels together, tile height, width).

    A tile is a PE's share of the plane, or a part of it, so that its sums fit the accumulators.
    """
    room = spec.accumulator.banks * spec.accumulator.entries
    pe = spec.pe
    whole = -(-layer.in_h // pe.rows), -(-layer.in_w // pe.cols)
    filters, window = layer.out_channels // layer.groups, layer.kernel_h * layer.kernel_w
    for parts in range(1, max(whole) + 1):
        high, wide = (-(-size // parts) for size in whole)
        sums = _outputs(high, layer.kernel_h, layer.stride_h) * _outputs(
            wide, layer.kernel_w, layer.stride_w
        )
        together = min(spec.filters_together, room // sums, layer.out_channels)
        if together < 1 and (high, wide) != (1, 1):
            continue
        together = max(together, 1)
        sweeps = -(-layer.in_h // (high * pe.rows)) * -(-layer.in_w // (wide * pe.cols))
        own = min(together, filters)
        vectors = -(-high * wide // pe.inputs) * -(-own * window // pe.weights)
        # A round of several groups goes through the channels of each.
        groups = -(-together // filters)
        rounds = -(-layer.out_channels // together)
        channels = layer.in_channels // layer.groups
        yield sweeps * rounds * groups * channels * vectors, -together, high, wide
        if (high, wide) == (1, 1):
            return


def plan_layer(layer: Layer, spec: ScnnSpec) -> CartesianPlan:
    """Cut a layer the quickest way for a dense one; it does not depend on where zeros are."""
    _, together, high, wide = min(_choices(layer, spec))
    top, _, left, _ = layer.padding
    banks = spec.accumulator.banks if spec.accumulator.model == "banks" else NO_BANKS
    return CartesianPlan(
        out_h=layer.out_h,
        out_w=layer.out_w,
        stride_h=layer.stride_h,
        stride_w=layer.stride_w,
        top=top,
        left=left,
        channels=layer.in_channels // layer.groups,
        filters=layer.out_channels // layer.groups,
        groups=layer.groups,
        together=-together,
        tile_h=high,
        tile_w=wide,
        rows=spec.pe.rows,
        cols=spec.pe.cols,
        inputs=spec.pe.inputs,
        weights=spec.pe.weights,
        banks=banks,
        queue=spec.accumulator.queue,
    )


class ScnnLayer:
    """A layer with its weights, cut for the PEs."""

    def __init__(self, layer: Layer, nonzero: Nonzero, spec: ScnnSpec) -> None:
        self._layer, self._nonzero, self._spec = layer, nonzero, spec
        self.plan = plan_layer(layer, spec)

    def work(self, read: LayerInput) -> LayerWork:
        """Return what it takes for one image."""
        layer, spec, plan = self._layer, self._spec, self.plan
        run = cartesian_run(self._nonzero, read.alive, plan)
        passes = run.ends.max(axis=0)
        steps = int(run.steps.sum())
        rows = min(spec.pe.rows, -(-layer.in_h // plan.tile_h))
        cols = min(spec.pe.cols, -(-layer.in_w // plan.tile_w))
        held = int(read.alive.sum(dtype=np.int64))
        weights = int(np.count_nonzero(self._nonzero))
        sweeps = len(passes) // -(-layer.out_channels // plan.together)
        outputs = layer.out_channels * layer.out_h * layer.out_w
        input_words = spec.words(held, read.alive.size, packed=spec.skips_inputs)
        output_words = spec.words(read.nonzero_outputs, outputs, packed=spec.skips_inputs)
        # Inputs have half of the memory; those that find no room come again for every round.
        if input_words > spec.glb.words // 2:
            input_words *= -(-plan.filters // plan.together)
        return LayerWork(
            passes=passes,
            macs=run.useful,
            weight_words=sweeps * spec.words(weights, layer.weights, packed=spec.skips_weights),
            input_words=input_words,
            output_words=output_words,
            bounds={
                "fragments": -(-steps // spec.pe.count),
                "mapping": -(-steps // (rows * cols)),
                "imbalance": int(run.steps.max(axis=0).sum()),
                "contention": int(passes.sum()),
            },
            actions=self._actions(run, sweeps * weights * rows * cols, output_words),
            activity=Counter({"accumulator.discarded": run.products - run.useful}),
        )

    def _actions(
        self, run: CartesianRun, weights: int, output_words: int
    ) -> Counter[tuple[str, str, str]]:
        """Count what energy is charged for, in 16-bit words; all products are multiplied.

        Parameters
        ----------
        run : CartesianRun
        weights : int
            Weights that the PEs get, each in its own buffer.
        output_words : int
            What is written to the map memory, packed.
        """
        spec, layer = self._spec, self._layer
        bits, index = spec.value_bits, spec.index_bits

        def words(values: int, skips: bool) -> int:
            return -(-values * (bits + index * skips) // WORD_BITS)

        drained = layer.out_channels * layer.out_h * layer.out_w
        levels = ceil(log2(spec.pe.products))
        actions = {
            ("mac", "multiply", "compute"): run.products,
            ("adders", "add", "compute"): run.products,
            ("crossbar", "pass", "psum"): run.useful * levels * CROSSBAR_SLICES,
            ("weight_spad", "read", "weight"): words(run.weight_reads, spec.skips_weights),
            ("weight_spad", "write", "weight"): words(weights, spec.skips_weights),
            ("glb", "read", "input"): words(run.input_reads, spec.skips_inputs),
            ("glb", "write", "output"): output_words,
            ("psum_spad", "read", "psum"): run.useful + drained,
            ("psum_spad", "write", "psum"): run.useful,
        }
        return Counter({key: times for key, times in actions.items() if times})
