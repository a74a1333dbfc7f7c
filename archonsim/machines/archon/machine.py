"""ARCHON: prediction, then the fused convolution, block by block."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from simpy import Event

from archonsim.engine.clock import Clock
from archonsim.engine.contract import Phase
from archonsim.engine.observer import SILENT, Observer
from archonsim.engine.pipeline import run_phases
from archonsim.errors import SpecError
from archonsim.machines.archon.energy import with_energy
from archonsim.machines.archon.fixed import fixed_phases
from archonsim.machines.archon.forecast import forecast
from archonsim.machines.archon.fused import FusedBlock, main_phase, published_block
from archonsim.machines.archon.main_profile import Shares, kept_shares
from archonsim.machines.archon.mapped import MappedStream, mapped_phase, mapped_stream
from archonsim.machines.archon.overlap import hide, idle_adder_cycles
from archonsim.machines.archon.residency import Step, steps
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.machines.archon.windows import check_window
from archonsim.machines.phases import PhaseResult
from archonsim.machines.protocol import Densities, OnStep
from archonsim.memory.system import MemorySystem
from archonsim.network.block import Block
from archonsim.network.workload import Workload
from archonsim.spec.resources import Resources, area_parts
from archonsim.stats.counts import PhaseStats
from archonsim.stats.work import Work
from archonsim.trace.fused_weight import fuse
from archonsim.trace.image import ImageInputs
from archonsim.trace.kept import KEPT, Kept
from archonsim.trace.what_if import no_masks
from archonsim.vocabulary.components import Buffer
from archonsim.vocabulary.owners import Owner
from archonsim.vocabulary.stalls import Stall
from archonsim.vocabulary.vocabulary import COMMON, Vocabulary

if TYPE_CHECKING:
    from archonsim.pe.tile_trace import TileTrace


class ArchonMachine:
    """The accelerator of ICS'21, as a machine that ``archonsim run`` knows.

    What a run of cycles does not need is imported where it is used.
    """

    name = "archon"
    summary = (
        "ARCHON (ICS'21): predictive layer fusion, survivors are added up before one multiplication"
    )
    spec_type = ArchonSpec
    preset = (resources.files("archonsim.machines.archon") / "preset.toml").read_text("utf-8")
    vocabulary = Vocabulary(
        owners=(
            Owner(
                name="clips",
                title="clip terms",
                meaning=(
                    "beats of what clipped activations add, the end of a ReLU6 times their weight,"
                    " without a multiplication"
                ),
                order=45,
                colour="#d98cb3",
                letter="C",
                rare=True,
                keys=(("bias_terms", "untimed leaves them out, too"),),
            ),
        ),
        buffers=(Buffer(name="prediction_glb", title="pred. GLB", holds=("mask",), owner="masks"),),
        stalls=(
            Stall(
                name="masks",
                title="masks",
                meaning="a beat waited for the masks of its step, on their way to the PEs",
                owner="masks",
                order=35,
                colour="#332288",
                hatch="--",
            ),
        ),
    )
    #: In place of the first line of `includes` where no block is predicted.
    includes_unpredicted = "every layer by itself: no block of this workload is predicted and fused"
    includes = (
        (
            "both ReLU predictions, the fused main phase (beats, FIFO stalls, drains), batch-norm"
            " bias terms, head and tail layers"
        ),
        (
            "DRAM bandwidth and latency, on-chip ports, double-buffered tiles; phases run one after"
            " the other"
        ),
    )
    excludes = (
        (
            "pooling, channel shuffles, residual sums, quantising inputs for the predictors, host"
            " transfers"
        ),
    )
    ideal_includes = (
        (
            "one cycle for each (output channel, input channel, tap) of a tile; predictions at full"
            " rate; head and tail"
        ),
    )
    ideal_excludes = (
        "masks, stalls, drains, edges, bias terms, and all memory: the authors' closed-form model",
    )

    def ideal(self, workload: Workload, spec: ArchonSpec) -> list[PhaseResult]:
        """Evaluate the authors' closed-form model."""
        from archonsim.machines.archon.ideal import ideal

        return ideal(workload, spec)

    def prepare(self, workload: Workload, spec: ArchonSpec) -> ArchonSimulation:
        """Make a workload ready for ``cycle`` fidelity."""
        return ArchonSimulation(workload, spec)

    def resources(self, spec: ArchonSpec) -> Resources:
        """PEs, buffers and area; the prediction GLB's area apart, as the authors leave it out."""
        from archonsim.machines.archon.unpublished_area import unpublished_parts

        buffers = {"glb": spec.glb.words, "prediction_glb": spec.prediction_glb.words}
        parts = area_parts(
            self.name, spec.pe.count, buffers, adders=spec.pe.adders, apart=("prediction_glb",)
        )
        parts += unpublished_parts(spec.pe, registers=spec.prediction_sums == "registers")
        return Resources(pes=spec.pe.count, buffer_words=sum(buffers.values()), parts=parts)

    def details(
        self, workload: Workload, spec: ArchonSpec
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Say what is charged for masks on their way to the PEs, and for sums that spill."""
        blocks = [block for block in workload.blocks() if block.predicted]
        contained, left_out = list[str](), list[str]()
        if blocks and spec.mask_fetch == "charged":
            links = ", passed on by links between PEs (a what-if)" * spec.pe.mask_links
            contained.append(
                f"masks on their way to the PEs, in {spec.main_order} order of the weights{links}"
            )
        if any(any(block.clips) for block in blocks):
            timed = "" if spec.bias_terms == "timed" else ", of which no term takes time"
            contained.append(
                "activations that a ReLU6 clips: a term each without a multiplication, masks of two"
                f" bits, a comparison more{timed}"
            )
        if blocks and spec.main_order == "mapped" and spec.group_order == "profiled":
            alone = workload.images < 2
            contained.append(
                "a stream ordered by the survivors that a profile of"
                f" {'the image itself' if alone else 'the other images'} of the trace makes expect"
            )
        if blocks and spec.mask_fetch == "once":
            counted = ": --stats counts their words" * (spec.main_order == "published")
            left_out.append(
                "time and energy of masks that the prediction buffers cannot keep"
                f" (mask_fetch=once){counted}"
            )
        if spec.main_order == "published" and any(
            block.out_channels > spec.pe.psum_words for block in blocks
        ):
            left_out.append("time of partial sums that spill (main_order=published)")
        return tuple(contained), tuple(left_out)

    def steps(self, workload: Workload) -> int:
        """Layers and blocks that one image runs."""
        return len(steps(workload, 0))

    def forecast(self, workload: Workload, spec: ArchonSpec) -> list[Work]:
        """Forecast what one image takes to simulate, step by step."""
        return forecast(workload, spec)

    def estimate_fused(self, block: Block, spec: ArchonSpec, densities: Densities) -> float:
        """Estimate the cycles of a fused block in closed form."""
        from archonsim.machines.archon.estimate import estimate_fused

        return estimate_fused(block, spec, densities)

    def estimate_plain(self, workload: Workload, block: Block, spec: ArchonSpec) -> float:
        """Estimate the cycles of a block run as three plain layers, in closed form."""
        from archonsim.machines.archon.estimate import estimate_plain

        return estimate_plain(workload, block, spec)

    def trace_tile(
        self,
        workload: Workload,
        spec: ArchonSpec,
        image: ImageInputs,
        block: str,
        tile: int,
        arrival: Sequence[int] | None,
    ) -> TileTrace:
        """Write down one tile of a block's main phase."""
        from archonsim.machines.archon.tile_trace import block_tile

        return block_tile(workload, spec, image, block, tile, arrival)


class ArchonSimulation:
    """A workload on ARCHON: what does not depend on the image is worked out once.

    Parameters
    ----------
    workload : Workload
        With weights.
    spec : ArchonSpec

    Raises
    ------
    MaskError
        The workload is shape-only.
    SpecError
        A block's window does not fit the PEs; or published energies are asked for, which this
        fidelity does not have.
    """

    def __init__(self, workload: Workload, spec: ArchonSpec) -> None:
        if workload.trace is None:
            raise no_masks(workload)
        for block in workload.blocks():
            if block.predicted:
                check_window(block, spec)
        if spec.energy_rules == "ics21":
            raise SpecError(
                "energy rules ics21 are a closed form without masks: use --fidelity ideal, or"
                " energy_rules=consistent"
            )
        if spec.main_order == "mapped" and spec.group_order == "profiled" and not workload.images:
            raise SpecError(
                f"group_order is profiled, and workload {workload.name!r} holds no masks to"
                " profile; use group_order=balanced"
            )
        self._trace, self._spec = workload.trace, spec
        self._steps = steps(workload, spec.glb.words)
        self._streams = Kept(KEPT.limit_bytes)

    def run(
        self, image: ImageInputs, on_step: OnStep, observer: Observer = SILENT
    ) -> list[PhaseResult]:
        """Simulate one image."""
        env = Clock()
        spec = self._spec
        memory = MemorySystem(
            spec.dram, {"glb": spec.glb, "prediction_glb": spec.prediction_glb}, spec.clock_mhz
        )
        results: list[PhaseResult] = []
        env.process(self._run(env, memory, image, on_step, observer, results))
        env.run()
        return results

    def _run(
        self,
        env: Clock,
        memory: MemorySystem,
        image: ImageInputs,
        on_step: OnStep,
        observer: Observer,
        results: list[PhaseResult],
    ) -> Generator[Event, Any, None]:
        pe, idle = self._spec.pe, 0
        for step in self._steps:
            phases, mapping = self._phases(step, image)
            hidden = hide(phases[0], idle) if self._spec.overlap_prediction else 0
            done: list[PhaseStats] = []
            yield env.process(run_phases(env, memory, self._spec.dma, phases, done, observer))
            done[0].activity["overlap.hidden_cycles"] += hidden
            idle = idle_adder_cycles(phases[-1], done[-1], pe)
            results += self._results(step, phases, done, mapping)
            # A block's stream may take gigabytes: it goes before the next one is made.
            phases = []
            on_step(step.item.name)

    def _results(
        self,
        step: Step,
        phases: list[Phase],
        done: list[PhaseStats],
        mapping: dict[str, Any] | None,
    ) -> list[PhaseResult]:
        found = []
        for phase, stats in zip(phases, done, strict=True):
            predicts = COMMON.phase(phase.name).predicts
            result = PhaseResult(
                step.item.name,
                step.block,
                phase.name,
                stats,
                self._spec.pe.count,
                self._spec.pe.beat_candidates if predicts and stats.adds_possible else 0,
                mapping=mapping if phase.name == "main" else None,
            )
            found.append(with_energy(result, step.item, self._spec))
        return found

    def _phases(self, step: Step, image: ImageInputs) -> tuple[list[Phase], dict[str, Any] | None]:
        """Return a step's phases, and the mapping of the main one if it has one."""
        item = step.item
        if not isinstance(item, Block):
            return fixed_phases(step, self._spec, self._trace), None
        fixed = fixed_phases(step, self._spec, self._trace)
        masks = image.masks(item)
        stream = self._stream(step, item, image.number)
        if isinstance(stream, MappedStream):
            main = mapped_phase(step, stream, masks)
            return [*fixed, main], stream.plan.mapping.to_dict()
        return [*fixed, main_phase(step, stream, masks)], None

    def _stream(self, step: Step, block: Block, image: int) -> FusedBlock | MappedStream:
        """Return a block's weights as they are streamed.

        Kept for the next image where there is room, but for a profile's.
        """
        if self._spec.main_order == "mapped" and self._spec.group_order == "profiled":
            return self._make_stream(step, block, kept_shares(self._trace, block, image))
        found: FusedBlock | MappedStream = self._streams.get(
            block.name, lambda: self._make_stream(step, block, None), lambda one: one.bytes
        )
        return found

    def _make_stream(
        self, step: Step, block: Block, shares: tuple[Shares, Shares] | None
    ) -> FusedBlock | MappedStream:
        fused = fuse(block, self._trace)
        if self._spec.main_order == "mapped":
            return mapped_stream(step, block, self._spec, fused, shares)
        return published_block(block, self._spec, fused)
