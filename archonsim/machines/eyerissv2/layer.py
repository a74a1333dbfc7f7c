"""A layer on Eyeriss v2's array: cycles of its passes, and what its parts do."""

from __future__ import annotations

from collections import Counter

import numpy as np

from archonsim.machines.eyerissv2.plan import plan_layer
from archonsim.machines.eyerissv2.spec import EyerissV2Spec
from archonsim.machines.two_sided.bits import LayerInput, Nonzero
from archonsim.machines.two_sided.work import LayerWork
from archonsim.network.layer import Layer
from archonsim.pe.csc_kernel import CscPlan, CscRun, csc_run, filter_tiles
from archonsim.pe.taps_kernel import row_taps
from archonsim.spec.parts import WORD_BITS


class EyerissV2Layer:
    """A layer with its weights, laid on the array."""

    def __init__(self, layer: Layer, nonzero: Nonzero, spec: EyerissV2Spec) -> None:
        self._layer, self._spec = layer, spec
        # Depthwise layers run as if nothing were zero: their one filter a channel leaves a column
        # with a single weight.
        self._dense = layer.kind == "depthwise"
        if self._dense:
            nonzero = np.ones_like(nonzero)
        self.plan: CscPlan = plan_layer(layer, spec)
        self._counts = filter_tiles(nonzero, layer.groups, self.plan.tile)
        self._weights = int(np.count_nonzero(nonzero))

    def _run(self, read: LayerInput) -> CscRun:
        layer, alive = self._layer, read.alive
        top, bottom, _, _ = layer.padding
        if self._dense:
            rows = top + layer.in_h + bottom
            taps = np.full((layer.in_channels, rows, layer.kernel_w), layer.out_w, np.int64)
            alive = np.ones_like(alive)
        else:
            taps = row_taps(alive, layer.kernel_w, layer.stride_w, layer.padding, layer.out_w)
        sums = np.pad(alive.sum(axis=2, dtype=np.int64), ((0, 0), (top, bottom)))
        return csc_run(taps, sums, self._counts, self._spec.pe.products_per_cycle, self.plan)

    def work(self, read: LayerInput) -> LayerWork:
        """Return what it takes for one image."""
        layer, spec, plan = self._layer, self._spec, self.plan
        run = self._run(read)
        inputs, outputs = read.alive.size, layer.out_channels * layer.out_h * layer.out_w
        packed = spec.skips_inputs and not self._dense
        held = read.alive.size if self._dense else int(read.alive.sum(dtype=np.int64))
        input_words = spec.words(held, inputs, packed=packed)
        # Inputs that do not stay in the GLB come again for every step along their group's filters.
        steps = -(-plan.filter_tiles // (plan.groups * plan.across_filters))
        sweeps = 1 if input_words <= spec.input_words else steps
        weight_sweeps = plan.strips if plan.filter_steps * plan.row_steps > 1 else 1
        used = plan.across_filters * plan.across_rows * plan.across_outputs
        busiest = int(run.busiest.sum())
        passes = np.maximum(run.busiest, run.network)
        macs = run.totals["products"]
        return LayerWork(
            passes=passes,
            macs=macs,
            weight_words=weight_sweeps
            * spec.words(
                self._weights, layer.weights, packed=spec.skips_weights and not self._dense
            ),
            input_words=sweeps * input_words,
            output_words=spec.words(read.nonzero_outputs, outputs, packed=spec.skips_inputs),
            bounds={
                "lanes": -(-run.totals["beats"] // spec.pe.count),
                "mapping": -(-run.totals["beats"] // used),
                "imbalance": busiest,
                "network": int(passes.sum()),
            },
            actions=self._actions(run),
        )

    def _actions(self, run: CscRun) -> Counter[tuple[str, str, str]]:
        """Count what energy is charged for, scratchpads by values and the GLB by words."""
        spec, total = self._spec, run.totals
        products, visits = total["products"], total["visits"]

        def words(values: int, bits: int) -> int:
            return -(-values * bits // WORD_BITS)

        psums = words(total["psums_moved"], spec.psum_bits)
        packed = spec.value_bits + spec.index_bits
        actions = Counter(
            {
                ("mac", "multiply", "compute"): products,
                ("csc_weight_spad", "read", "weight"): products,
                ("csc_weight_spad", "write", "weight"): total["weight_writes"],
                ("csc_input_spad", "read", "input"): visits,
                ("csc_input_spad", "write", "input"): total["input_writes"],
                ("csc_psum_spad", "read", "psum"): products,
                ("csc_psum_spad", "write", "psum"): products,
                ("glb", "read", "input"): words(total["inputs_delivered"], packed),
                ("glb", "write", "psum"): psums,
                ("glb", "read", "psum"): psums,
            }
        )
        # Values carry the zeros before them; those of skipped positions are never looked at.
        for pad, kind in (("csc_weight_spad", "weight"), ("csc_input_spad", "input")):
            for action in ("read", "write"):
                actions[pad, f"{action}_index", kind] = actions[pad, action, kind]
        return Counter({key: times for key, times in actions.items() if times})
