"""SnaPEA as a machine."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from importlib import resources

from archonsim.engine.observer import SILENT, Observer
from archonsim.machines.charge import area_part
from archonsim.machines.layerwise import layer_steps
from archonsim.machines.phases import PhaseResult
from archonsim.machines.protocol import OnStep
from archonsim.machines.snapea.layer import SnapeaLayer
from archonsim.machines.snapea.spec import SnapeaSpec
from archonsim.machines.snapea.values import ValueSource
from archonsim.machines.two_sided.work import LayerWork
from archonsim.machines.two_sided.worked import WorkedSimulation
from archonsim.network.workload import Workload
from archonsim.spec.resources import Resources
from archonsim.spec.technology import load_technology
from archonsim.stats.counts import PhaseStats
from archonsim.trace.image import ImageInputs
from archonsim.trace.tensors import Floats
from archonsim.trace.trace_parts import layer_of
from archonsim.vocabulary.components import Component
from archonsim.vocabulary.owners import Owner
from archonsim.vocabulary.vocabulary import Vocabulary

#: Images of a trace, at most, that a closed form averages and that thresholds are chosen on (own
#: decision).
FIRST_IMAGES = 4


class Sums:
    """A workload's layers, in order, and what they read."""

    def __init__(self, workload: Workload, spec: SnapeaSpec) -> None:
        self._workload, self._spec = workload, spec
        self.source = ValueSource(workload)
        if spec.stops:
            self.source.check()

    @cached_property
    def models(self) -> list[SnapeaLayer]:
        """Layers, with thresholds where sums speculate."""
        trace, spec = self._workload.trace, self._spec
        models = []
        for step in self.source.steps:
            tensors = None if trace is None else layer_of(trace, step.layer)
            model = SnapeaLayer(step.layer, tensors, spec)
            if spec.mode == "predictive":
                count = min(self.source.images, FIRST_IMAGES)
                read = [self.source.read(step, image) for image in range(count)]
                values = [x for x in read if x is not None]
                if values:
                    model.speculate(values)
            models.append(model)
        return models

    def work(self, at: int, image: int) -> LayerWork:
        """Return what layer number `at` of the steps takes for an image."""
        return self.models[at].work(self._read(at, image))

    def macs(self, at: int) -> int:
        """Products of a layer: the mean over the first images, rounded down."""
        count = max(1, min(self.source.images, FIRST_IMAGES))
        return sum(self.models[at].stop(self._read(at, one)).macs for one in range(count)) // count

    def _read(self, at: int, image: int) -> Floats | None:
        step = self.source.steps[at]
        return self.source.read(step, image) if self._spec.stops else None


class SnapeaMachine:
    """SnaPEA, as a machine that ``archonsim run`` knows."""

    name = "snapea"
    summary = (
        "SnaPEA: weights ordered by sign; a sum stops once it is negative for good, or likely to be"
    )
    spec_type = SnapeaSpec
    preset = (resources.files("archonsim.machines.snapea") / "preset.toml").read_text("utf-8")
    includes = (
        (
            "every product up to the stop of its sum, from values of weights and inputs; lanes of a"
            " PE in lockstep, the layer as long as its slowest PE"
        ),
        (
            "DRAM bandwidth and latency, weights with their indices; every map goes through DRAM,"
            " layers run one after the other"
        ),
    )
    excludes = (
        "pooling, channel shuffles, residual sums, host transfers",
        "sorting of weights, which is done offline; wires, and their energy",
    )
    ideal_includes = (
        (
            "every product up to the stop of its sum, all lanes busy in every cycle; the mean over"
            " the trace's first images"
        ),
    )
    ideal_excludes = ("lockstep, imbalance, edges, all memory; pooling, residual sums",)
    vocabulary = Vocabulary(
        title="SnaPEA",
        colour="#882255",
        owners=(
            Owner(
                name="lockstep",
                title="lockstep of lanes",
                meaning="lanes of a PE that have stopped, or have no output, and wait for another",
                letter="L",
                order=54,
                keys=(("pe.lanes", "fewer lanes wait for each other"),),
            ),
        ),
        components=(
            Component(
                name="index_spad",
                title="index buffer",
                memory=True,
                order=95,
                meaning="which input each of a PE's weights meets",
            ),
            Component(
                name="sign_check",
                title="sign check",
                actions=("look",),
                order=122,
                meaning="looks at a sum's sign, or compares it with a threshold",
            ),
        ),
    )

    def ideal(self, workload: Workload, spec: SnapeaSpec) -> list[PhaseResult]:
        """Evaluate the closed form: products over multipliers."""
        shapes = workload.trace is None
        sums = Sums(workload, replace(spec, mode="off") if shapes else spec)
        results = []
        for at, step in enumerate(sums.source.steps):
            macs = step.layer.macs if shapes else sums.macs(at)
            cycles = -(-macs // spec.multipliers)
            stats = PhaseStats(cycles=cycles, compute=cycles, macs=macs)
            results.append(
                PhaseResult(step.layer.name, step.block, "layer", stats, spec.multipliers)
            )
        return results

    def prepare(self, workload: Workload, spec: SnapeaSpec) -> SnapeaSimulation:
        """Make a workload ready for ``cycle`` fidelity."""
        return SnapeaSimulation(self, workload, spec)

    def remarks(self, workload: Workload, spec: SnapeaSpec) -> tuple[str, ...]:
        """Say which layers' sums may stop, and what speculation means."""
        if not spec.stops:
            return ()
        if workload.trace is None:
            return ("no weights and inputs: every sum runs in full",)
        source = ValueSource(workload)
        behind = [one for one in source.steps if source.behind(one)]
        known = [one for one in behind if source.known(one)]
        stopping = [one for one in known if source.read(one, 0) is not None]
        without = len(source.steps) - len(behind)
        lines = [
            f"sums may stop in {len(stopping)} of {len(source.steps)} layers; {without} have no"
            f" ReLU behind them, {len(known) - len(stopping)} read negative values, of"
            f" {len(behind) - len(known)} the file does not tell what they read"
        ]
        if spec.mode == "predictive":
            count = min(source.images, FIRST_IMAGES)
            lines.append(
                f"thresholds cut at most {100 * spec.lost_share:g} % of a filter's positive outputs"
                f" on the first {count} image{'s' * (count != 1)}; what that does to later layers"
                " and to the accuracy is not in this run"
            )
        return tuple(lines)

    def steps(self, workload: Workload) -> int:
        """Layers that one image runs."""
        return len(layer_steps(workload))

    def energy_sizes(self, spec: SnapeaSpec) -> dict[str, int]:
        """16-bit words of one instance of each memory that energy is charged for."""
        return {
            "glb": max(1, spec.glb.words // spec.glb.banks),
            "weight_spad": spec.pe.weight_words,
            "index_spad": spec.pe.weight_words,
            "pe_registers": 1,
        }

    def resources(self, spec: SnapeaSpec) -> Resources:
        """Multipliers, buffers, and area; a PE's share of the map memory counts as shared."""
        technology, pe = load_technology(spec.technology), spec.pe
        parts = [area_part(technology, "glb", words=spec.glb.words)]
        for name, words, copies in (
            ("mac", None, pe.lanes),
            ("sign_check", None, pe.lanes),
            ("pe_registers", 1, pe.lanes),
            ("weight_spad", pe.weight_words, 1),
            ("index_spad", pe.weight_words, 1),
        ):
            parts.append(
                area_part(
                    technology, name, words=words, instances=pe.count, copies=copies, in_pe=True
                )
            )
        return Resources(pes=spec.multipliers, buffer_words=spec.glb.words, parts=tuple(parts))


class SnapeaSimulation:
    """A workload on the array.

    Raises
    ------
    MaskError
        The workload has shapes only, and sums are to stop.
    """

    def __init__(self, machine: SnapeaMachine, workload: Workload, spec: SnapeaSpec) -> None:
        sums = Sums(workload, spec)
        self._inner = WorkedSimulation(
            sums.source.steps,
            lambda at, image: sums.work(at, image.number),
            spec,
            machine.energy_sizes(spec),
        )

    def run(
        self, image: ImageInputs, on_step: OnStep, observer: Observer = SILENT
    ) -> list[PhaseResult]:
        """Simulate one image."""
        return self._inner.run(image, on_step, observer)
