"""Plain layers on a row-stationary array that skips zero weights, optionally activations."""

from __future__ import annotations

from importlib import resources

from archonsim.engine.contract import Phase
from archonsim.engine.observer import SILENT, Observer
from archonsim.errors import MaskError
from archonsim.machines.layerwise import layer_steps
from archonsim.machines.phases import PhaseResult
from archonsim.machines.protocol import OnStep
from archonsim.machines.row_stationary.layers import MappedLayer, map_choices
from archonsim.machines.row_stationary.machine import RowStationaryMachine
from archonsim.machines.row_stationary.run import ideal_result, quickest, run_layers
from archonsim.machines.row_stationary.tiles import layer_phase, tile_count
from archonsim.machines.sparse.energy import with_energy, with_published_energy
from archonsim.machines.sparse.given import read_given
from archonsim.machines.sparse.published import published_layers
from archonsim.machines.sparse.spec import NNZ, SparseSpec
from archonsim.machines.sparse.work import (
    Alive,
    LayerWork,
    balanced_work,
    density_of,
    given_work,
    published_work,
    weight_words,
    weights_work,
)
from archonsim.network.layer import Layer
from archonsim.network.workload import Workload
from archonsim.trace.image import ImageInputs


class SparseMachine(RowStationaryMachine[SparseSpec]):
    """The sparse baseline of ICS'21, as a machine that ``archonsim run`` knows."""

    name = "sparse"
    summary = (
        "row-stationary array that skips zero weights (ICS'21's sparse baseline); a pass ends with"
        " its slowest PE"
    )
    spec_type = SparseSpec
    #: Shapes that state N:M sparsity run at that density.
    skips_stated_zeros = True
    preset = (resources.files("archonsim.machines.sparse") / "preset.toml").read_text("utf-8")
    includes = (
        (
            "every product whose weight is not zero, by the dense array's mapping; each pass as"
            " long as its slowest PE (barrier)"
        ),
        (
            "a phase called published has the authors' cycles: their counts of its non-zero weights"
            " are lost"
        ),
        (
            "DRAM bandwidth and latency, weights in DRAM as values with indices; every map goes"
            " through DRAM"
        ),
    )
    excludes = (
        (
            "finding the products that are not zero, compressed activations, pooling, channel"
            " shuffles, residual sums, host transfers"
        ),
    )
    ideal_includes = (
        (
            "every product whose weight is not zero, pass by pass; without weights, densities that"
            " are perfectly balanced over PEs"
        ),
        (
            "a phase called published has the authors' cycles: their counts of its non-zero weights"
            " are lost"
        ),
    )
    ideal_excludes = ("DRAM time, zero activations, pooling, residual sums: the authors' model",)

    def ideal(self, workload: Workload, spec: SparseSpec) -> list[PhaseResult]:
        """Add up the passes."""
        source = WorkSource(workload, spec)
        results = []
        for choices in map_choices(workload, spec):
            works = [(mapped, source.weights_only(mapped)) for mapped in choices]
            mapped, work = min(works, key=lambda one: one[1].cycles)
            words = weight_words(mapped, work, spec)
            result = ideal_result(mapped, spec, work.cycles, work.macs, words, work.phase)
            results.append(source.with_energy(result, mapped, work))
        return results

    def prepare(self, workload: Workload, spec: SparseSpec) -> SparseSimulation:
        """Make a workload ready for ``cycle`` fidelity."""
        return SparseSimulation(workload, spec)

    def remarks(self, workload: Workload, spec: SparseSpec) -> tuple[str, ...]:
        """Say how many layers have zeros to skip, and by what."""
        source = WorkSource(workload, spec)
        layers = [step.layer for step in layer_steps(workload)]
        pruned = sum(source.pruned(layer) for layer in layers)
        nnz = "density" if spec.nnz == "weights" and workload.trace is None else spec.nnz
        by = {"weights": "their own", "ics21": "as ICS'21 measured or published"}.get(nnz, nnz)
        if nnz == "density":
            keys = ("pointwise", "depthwise", "conv", "fc")
            by = ", ".join(f"{key} {getattr(spec, f'{key}_density'):g}" for key in keys)
            by = f"balanced at densities {by}"
        return (
            f"zero weights skipped in {pruned} of {len(layers)} layers ({by})",
            *super().remarks(workload, spec),
        )


class WorkSource:
    """Where the passes' lengths come from, as ``nnz`` says."""

    def __init__(self, workload: Workload, spec: SparseSpec) -> None:
        self._trace, self._spec, self._workload = workload.trace, spec, workload.name
        self._published = published_layers(workload.name) if spec.nnz == "ics21" else {}
        self._given = {} if spec.nnz in NNZ else read_given(spec.nnz, workload)

    def pruned(self, layer: Layer) -> bool:
        """Whether some of a layer's weights are zero and skipped."""
        spec, given = self._spec, self._given.get(layer.name)
        if spec.nnz == "ics21":
            return layer.name in self._published
        if spec.nnz not in NNZ:
            if given is None or given.ndim != 0:
                return given is not None
            return int(given) < layer.weights
        if spec.nnz == "density" or self._trace is None:
            return density_of(layer, spec) < 1
        return not self._trace.layer(layer.name).weight.all()

    def weights_only(self, mapped: MappedLayer) -> LayerWork:
        """Passes of a layer when no activation is skipped."""
        if self._spec.nnz == "ics21":
            return published_work(mapped, self._published.get(mapped.layer.name), self._spec)
        if self._spec.nnz not in NNZ:
            return given_work(mapped, self._given.get(mapped.layer.name), self._spec)
        if self._spec.nnz == "density" or self._trace is None:
            return balanced_work(mapped, density_of(mapped.layer, self._spec))
        return weights_work(mapped, self._trace.layer(mapped.layer.name).weight, self._spec)

    def with_energy(self, result: PhaseResult, mapped: MappedLayer, work: LayerWork) -> PhaseResult:
        """Charge what a layer did."""
        if self._spec.energy_rules == "ics21":
            pruned = mapped.layer.name in self._published if self._published else work.density < 1
            return with_published_energy(result, mapped, self._spec, self._workload, pruned=pruned)
        return with_energy(result, mapped, work, self._spec)

    def masked(self, mapped: MappedLayer, alive: Alive) -> LayerWork:
        """Passes of a layer some of whose inputs are zero."""
        assert self._trace is not None
        return weights_work(mapped, self._trace.layer(mapped.layer.name).weight, self._spec, alive)


class SparseSimulation:
    """A workload on the sparse array; images differ only where zero activations are skipped.

    Parameters
    ----------
    workload : Workload
    spec : SparseSpec

    Raises
    ------
    MaskError
        Weights or masks are needed, and the workload has shapes only.
    """

    def __init__(self, workload: Workload, spec: SparseSpec) -> None:
        stated = all(step.layer.sparsity is not None for step in layer_steps(workload))
        if workload.trace is None and spec.nnz == "weights" and not stated:
            raise MaskError(
                f"workload {workload.name!r} has shapes only, and the sparse array counts the zeros"
                " of its weights: use a workload file, --set nnz=density for balanced zeros at"
                " given densities, --set nnz=FILE for counts or masks of your own, or --set"
                " nnz=ics21 for what ICS'21 measured"
            )
        self._spec = spec
        self._source = WorkSource(workload, spec)
        self._blocks = {block.index: block for block in workload.blocks()}
        self._mapped: list[MappedLayer] = []
        self._fixed: dict[str, tuple[LayerWork, Phase]] = {}
        for choices in map_choices(workload, spec):
            found = [self._with_tiles(one, self._source.weights_only(one)) for one in choices]
            phases = [(one, phase) for one, (_, phase) in zip(choices, found, strict=True)]
            at = quickest(phases, spec)
            self._mapped.append(choices[at])
            self._fixed[choices[at].layer.name] = found[at]

    def run(
        self, image: ImageInputs, on_step: OnStep, observer: Observer = SILENT
    ) -> list[PhaseResult]:
        """Simulate one image."""
        works = [self._work(mapped, image) for mapped in self._mapped]
        phases = [(mapped, phase) for mapped, (_, phase) in zip(self._mapped, works, strict=True)]
        results = run_layers(phases, self._spec, on_step, observer)
        return [
            self._source.with_energy(one, mapped, work)
            for one, mapped, (work, _) in zip(results, self._mapped, works, strict=True)
        ]

    def _work(self, mapped: MappedLayer, image: ImageInputs) -> tuple[LayerWork, Phase]:
        alive = self._alive(mapped, image)
        if alive is not None:
            return self._with_tiles(mapped, self._source.masked(mapped, alive))
        return self._fixed[mapped.layer.name]

    def _with_tiles(self, mapped: MappedLayer, work: LayerWork) -> tuple[LayerWork, Phase]:
        tiles = work.tile_cycles(min(tile_count(mapped), work.passes))
        bounds = {"mapping": -(-work.macs // mapped.mapping.pes_used)}
        bounds[work.beyond] = sum(tiles)
        return work, layer_phase(
            mapped, tiles, work.macs, weight_words(mapped, work, self._spec), work.phase, bounds
        )

    def _alive(self, mapped: MappedLayer, image: ImageInputs) -> Alive | None:
        """Inputs of a layer that are not zero, where the block's ReLU masks tell."""
        block = self._blocks.get(mapped.block) if mapped.block is not None else None
        if (
            not self._spec.skip_zero_activations
            or block is None
            or not block.predicted
            or mapped.layer is block.pw1
        ):
            return None
        keep1, keep2 = image.masks(block)
        if mapped.layer is block.layers[2]:
            return keep2.unpack()
        return keep1.unpack()[list(block.pw2_reads)]
