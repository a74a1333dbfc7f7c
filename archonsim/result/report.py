"""The result of a run.

A frozen tree with everything that is shown, and what each figure includes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from archonsim.machines.phases import PhaseResult
from archonsim.network.workload import Provenance, Workload
from archonsim.result.files import rows_to_csv
from archonsim.result.read import check_schema, from_tree
from archonsim.result.values import Amount, Count, Number, Plain, Positive, Whole
from archonsim.version import __version__
from archonsim.vocabulary.known import in_order
from archonsim.vocabulary.vocabulary import COMMON

#: Version of the JSON form.
SCHEMA: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerReport:
    """One phase of one layer or block: integers for one image, means over several.

    Attributes
    ----------
    name, block, phase : str, int or None, str
    cycles, compute : number
        All cycles, and those in which the array issued work; the rest are `stalls`.
    macs, adds, adds_possible : number
        Multiplications and additions done, and additions if every candidate survived.
    stalls : dict of cause to cycles
    utilization : float
        Share of the array's slots used (MACs; in prediction, narrow adders).
    traffic : dict of ``component.direction.kind`` to 16-bit words
    activity : dict of ``part.what`` to number
        What else happened, such as ``dram.row_misses``; `--stats` prints the sums.
    energy : dict of ``component.kind`` to pJ, or None
        None where the machine has no energy model, or its technology lacks a part of it.
    energy_pj : float or None
        Their sum.
    actions : dict of ``component.action.kind`` to number
        What the energy is charged for: accesses of memories in 16-bit words.
    mapping : dict, or None
        The mapping that a fused phase ran with, in the form of the machine's mapping files; None
        for phases that have none to tell.
    """

    name: str
    block: Whole | None
    phase: str
    cycles: Count
    compute: Count
    macs: Count
    adds: Count
    adds_possible: Count
    stalls: dict[str, Count]
    utilization: Amount
    traffic: dict[str, Count]
    activity: dict[str, Count]
    energy: dict[str, Amount] | None = None
    energy_pj: Amount | None = None
    actions: dict[str, Count] = dataclasses.field(default_factory=dict)
    mapping: dict[str, Plain] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReport:
    """One image of a run.

    Attributes
    ----------
    image : int
        Its number.
    total_cycles : number
    layers : tuple of LayerReport
    """

    image: Whole
    total_cycles: Count
    layers: tuple[LayerReport, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole run.

    Attributes
    ----------
    arch, workload, fidelity, masks : str
    images : int
        Number of images that the figures stand for.
    image_numbers : tuple of int
        Which ones; empty when the result depends on none (ideal fidelity).
    seed : int
        Of what-if masks.
    clock_mhz : float
    total_cycles, total_macs, total_adds : number
    time_ms : float
    layers : tuple of LayerReport
    per_image : tuple of ImageReport
    provenance : Provenance
        Where the workload comes from.
    digest : str
        Of the workload's shapes, weights and masks.
    machine : dict
        The resolved description: with it, the run can be repeated.
    includes, excludes : tuple of str
    archonsim : str
        Version of the program that ran it.
    """

    schema: Literal[1] = SCHEMA
    archonsim: str = __version__
    arch: str
    workload: str
    fidelity: str
    masks: str
    images: Whole
    image_numbers: tuple[Whole, ...]
    seed: Whole
    clock_mhz: Positive
    total_cycles: Count
    total_macs: Count
    total_adds: Count
    time_ms: Amount
    layers: tuple[LayerReport, ...]
    per_image: tuple[ImageReport, ...]
    provenance: Provenance
    digest: str
    machine: dict[str, Plain]
    includes: tuple[str, ...]
    excludes: tuple[str, ...]

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any], source: str = "the result") -> Report:
        """Read the JSON form; `source` names it in messages.

        Raises
        ------
        ResultError
            It is of another form, a key is missing, or a value is not what it must be.
        """
        check_schema(tree, (SCHEMA,), source)
        return from_tree(cls, tree, source)

    @property
    def first_image(self) -> tuple[LayerReport, ...]:
        """Phases of the first image; of all, where nothing depends on an image."""
        return self.per_image[0].layers if self.per_image else self.layers

    @property
    def energy_uj(self) -> float | None:
        """Energy of an image; None unless it is known of every phase."""
        known = [layer.energy_pj for layer in self.layers if layer.energy_pj is not None]
        return math.fsum(known) / 1e6 if len(known) == len(self.layers) else None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return dataclasses.asdict(self) | {"energy_uj": self.energy_uj}

    def to_csv(self) -> str:
        """Return one tidy row for each image, layer and phase.

        Energies in pJ, whole and by component.
        """
        components = sorted(
            {component for layer in self.layers for component in by_component(layer.energy or {})}
        )
        images: list[tuple[int | str, tuple[LayerReport, ...]]] = [
            (one.image, one.layers) for one in self.per_image
        ]
        causes = stall_causes(self.layers)
        return rows_to_csv(
            [
                _csv_row(image, layer, components, causes)
                for image, layers in images or [("", self.layers)]
                for layer in layers
            ]
        )


def stall_causes(layers: Iterable[LayerReport]) -> list[str]:
    """Return the common causes of stalls, and those of these layers, in order."""
    found = {cause for layer in layers for cause in layer.stalls}
    return in_order("stalls", found | set(COMMON.names("stalls")))


def _csv_row(
    image: int | str, layer: LayerReport, components: Sequence[str], causes: Sequence[str]
) -> dict[str, Any]:
    shares = None if layer.energy is None else by_component(layer.energy)
    return {
        "image": image,
        "name": layer.name,
        "block": layer.block,
        "phase": layer.phase,
        "cycles": layer.cycles,
        "compute": layer.compute,
        **{f"stall_{cause}": layer.stalls.get(cause, 0) for cause in causes},
        "macs": layer.macs,
        "adds": layer.adds,
        "adds_possible": layer.adds_possible,
        "survival": layer.adds / layer.adds_possible if layer.adds_possible else None,
        "utilization": layer.utilization,
        "energy_pj": None if shares is None else layer.energy_pj,
        **{
            f"energy_{component}": None if shares is None else shares.get(component, 0)
            for component in components
        },
    }


def by_component(energy: Mapping[str, float]) -> dict[str, float]:
    """Add energies by ``component.kind`` up to one for each component."""
    return _summed(energy, 0)


def by_kind(energy: Mapping[str, float]) -> dict[str, float]:
    """Add energies by ``component.kind`` up to one for each data kind."""
    return _summed(energy, 2)


def _summed(energy: Mapping[str, float], part: int) -> dict[str, float]:
    sums: dict[str, float] = {}
    for key, value in energy.items():
        name = key.partition(".")[part]
        sums[name] = sums.get(name, 0.0) + value
    return sums


def _mean(values: Sequence[Number]) -> Number:
    """Return the mean; of one value, the value itself."""
    return values[0] if len(values) == 1 else math.fsum(values) / len(values)


def layer_report(result: PhaseResult) -> LayerReport:
    """Freeze what one phase took."""
    stats = result.stats
    return LayerReport(
        name=result.name,
        block=result.block,
        phase=result.phase,
        cycles=stats.cycles,
        compute=stats.compute,
        macs=stats.macs,
        adds=stats.adds,
        adds_possible=stats.adds_possible,
        stalls={
            cause: stats.stalls[cause]
            for cause in in_order("stalls", set(stats.stalls))
            if stats.stalls[cause]
        },
        utilization=round(result.utilization, 6),
        traffic={".".join(key): words for key, words in sorted(stats.traffic.items())},
        activity=dict(sorted(stats.activity.items())),
        energy=(
            None
            if result.energy is None
            else {".".join(key): pj for key, pj in sorted(result.energy.items())}
        ),
        energy_pj=result.energy_pj,
        actions={".".join(key): times for key, times in sorted(stats.actions.items())},
        mapping=None if result.mapping is None else dict(result.mapping),
    )


def _mean_dict(dicts: Sequence[Mapping[str, Number]]) -> dict[str, Number]:
    keys = dict.fromkeys(key for one in dicts for key in one)
    return {key: _mean([one.get(key, 0) for one in dicts]) for key in keys}


def mean_layers(images: Sequence[Sequence[LayerReport]]) -> tuple[LayerReport, ...]:
    """Average the same phases over several images."""
    if len(images) == 1:
        return tuple(images[0])
    merged = []
    for same in zip(*images, strict=True):
        numbers = {
            key: _mean([getattr(one, key) for one in same])
            for key in ("cycles", "compute", "macs", "adds", "adds_possible")
        }
        utilization = math.fsum(one.utilization * one.cycles for one in same) / max(
            1, sum(one.cycles for one in same)
        )
        merged.append(
            dataclasses.replace(
                same[0],
                **numbers,
                stalls=_mean_dict([one.stalls for one in same]),
                utilization=round(utilization, 6),
                traffic=_mean_dict([one.traffic for one in same]),
                activity=_mean_dict([one.activity for one in same]),
                energy=(
                    None
                    if same[0].energy is None
                    else _mean_dict([one.energy or {} for one in same])
                ),
                energy_pj=(
                    None
                    if same[0].energy_pj is None
                    else math.fsum(one.energy_pj or 0.0 for one in same) / len(same)
                ),
                actions=_mean_dict([one.actions for one in same]),
            )
        )
    return tuple(merged)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Under what conditions a workload ran; the attributes are those of :class:`Report`."""

    arch: str
    fidelity: str
    masks: str
    seed: int
    clock_mhz: float
    machine: dict[str, Any]
    includes: tuple[str, ...]
    excludes: tuple[str, ...]


def build(
    conditions: Conditions,
    workload: Workload,
    image_numbers: Sequence[int],
    images: Sequence[Sequence[LayerReport]],
) -> Report:
    """Put a report together from the layers of each image."""
    layers = mean_layers(images)
    totals = [sum(layer.cycles for layer in one) for one in images]
    cycles = _mean(totals)
    return Report(
        arch=conditions.arch,
        workload=workload.name,
        fidelity=conditions.fidelity,
        masks=conditions.masks,
        images=len(images),
        image_numbers=tuple(image_numbers),
        seed=conditions.seed,
        clock_mhz=conditions.clock_mhz,
        total_cycles=cycles,
        total_macs=_mean([sum(layer.macs for layer in one) for one in images]),
        total_adds=_mean([sum(layer.adds for layer in one) for one in images]),
        time_ms=cycles / conditions.clock_mhz / 1000,
        layers=layers,
        per_image=tuple(
            ImageReport(image=number, total_cycles=total, layers=tuple(one))
            for number, total, one in zip(image_numbers, totals, images, strict=False)
        ),
        provenance=workload.provenance,
        digest=workload.digest,
        machine=conditions.machine,
        includes=conditions.includes,
        excludes=conditions.excludes,
    )
