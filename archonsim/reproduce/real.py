"""ICS'21's headline on real masks: the abstract's two speedups, stepped cycle by cycle.

The published quotients are of closed forms: every ReLU keeps half of what it sees, masks travel for
free, memory never waits. Here both sides are trained networks on machines that can be built, and
the way from one quotient to the other is cut into steps that add up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archonsim.errors import WorkloadError
from archonsim.reproduce.published import read_rows, read_tree
from archonsim.result.files import rows_to_csv
from archonsim.result.report import Report
from archonsim.runs.run import Run
from archonsim.runs.scenario import Scenario
from archonsim.stats.bootstrap import COVERAGE, Interval, speedup_interval

SCHEMA = 1

#: Phases that the published figures and our reports both name; every other is a whole layer.
_PHASES = ("predict_pw1", "predict_dw", "main")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One reason why cycles differ from the published ones.

    Attributes
    ----------
    arch : str
        Whose cycles; empty for the published quotient itself.
    what : str
        ``published``; a phase, whose compute cycles differ; ``stall: CAUSE``, which the published
        model has none of.
    cycles : float
        More cycles than published, or fewer; means over the images.
    speedup : float
        Quotient after this step and those before it.
    """

    arch: str
    what: str
    cycles: float
    speedup: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RealClaim:
    """One of the headline's speedups.

    Attributes
    ----------
    claim : str
    published : str
        The quotient of the published sums, as the source has it.
    archon, against : Report
        All images on either side.
    interval : Interval
        The speedup in time, and how much the choice of images matters.
    steps : tuple of Step
        From the published quotient to that of our cycles.
    """

    claim: str
    published: str
    archon: Report
    against: Report
    interval: Interval
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class RealHeadline:
    """The headline on real masks."""

    claims: tuple[RealClaim, ...]

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each step of each claim, with the speedup before and after it."""
        found = []
        for claim in self.claims:
            before = 0.0
            for step in claim.steps:
                found.append(
                    {
                        "claim": claim.claim,
                        "published": claim.published,
                        "arch": step.arch,
                        "what": step.what,
                        "cycles": step.cycles,
                        "before": before,
                        "speedup": step.speedup,
                    }
                )
                before = step.speedup
        return found

    def to_csv(self) -> str:
        """Return all steps as CSV."""
        return rows_to_csv(self.rows())

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the layers, as plain data."""
        return {
            "schema": SCHEMA,
            "coverage": COVERAGE,
            "claims": [
                {
                    "claim": claim.claim,
                    "published": claim.published,
                    "speedup": claim.interval.value,
                    "low": claim.interval.low,
                    "high": claim.interval.high,
                    "images": claim.interval.images,
                    **{
                        side: {
                            "arch": report.arch,
                            "workload": report.workload,
                            "digest": report.digest,
                            "masks": report.provenance.mask_source,
                            "test_accuracy": report.provenance.test_accuracy,
                            "total_cycles": report.total_cycles,
                        }
                        for side, report in (("archon", claim.archon), ("against", claim.against))
                    },
                    "steps": [
                        {key: row[key] for key in ("arch", "what", "cycles", "speedup")}
                        for row in self.rows()
                        if row["claim"] == claim.claim
                    ],
                }
                for claim in self.claims
            ],
        }


def _published(run: str) -> tuple[int, Counter[str]]:
    """Published cycles of a run: its sum, and by phase."""
    rows = read_rows("ics21_cycles")
    phases: Counter[str] = Counter()
    for row in rows:
        if row["run"] == run:
            suffix = row["cell"].rpartition(".")[2]
            phases[suffix if suffix in _PHASES else "layer"] += int(row["cycles"])
    whole = next(
        int(row["cycles"])
        for row in read_rows("ics21_totals")
        if row["run"] == run and row["scope"] == "all"
    )
    return whole, phases


def _measured(report: Report) -> tuple[Counter[str], Counter[str]]:
    """Compute cycles by phase, and stall cycles by cause, of a report."""
    compute: Counter[str] = Counter()
    stalls: Counter[str] = Counter()
    for layer in report.layers:
        compute[layer.phase if layer.phase in _PHASES else "layer"] += layer.compute  # type: ignore[assignment]
        for cause, cycles in layer.stalls.items():
            stalls[cause] += cycles  # type: ignore[assignment]
    return compute, stalls


def _changes(
    report: Report, whole: float, phases: Mapping[str, int]
) -> Iterator[tuple[str, float]]:
    """Where a report's cycles differ from the published ones; the differences add up."""
    compute, stalls = _measured(report)
    known = sum(phases.values())
    if known != whole:  # the source's sum is not that of its parts
        yield "the published sum", known - whole
    for phase in ("layer", *_PHASES):
        if compute[phase] != phases.get(phase, 0):
            yield phase, compute[phase] - phases.get(phase, 0)
    for cause, cycles in stalls.items():
        if cycles:
            yield f"stall: {cause}", cycles


def _steps(archon: Report, base: Report, runs: tuple[str, str]) -> Iterator[Step]:
    """Walk from the published quotient to ours: the base's changes first, then ARCHON's."""
    totals: dict[str, float] = {}
    changes: list[tuple[str, str, float]] = []
    for side, report, run in (("base", base, runs[1]), ("archon", archon, runs[0])):
        totals[side], phases = _published(run)[0], _published(run)[1]
        changes += [(side, what, cycles) for what, cycles in _changes(report, totals[side], phases)]
    yield Step(arch="", what="published", cycles=0.0, speedup=totals["base"] / totals["archon"])
    names = {"base": base.arch, "archon": archon.arch}
    for side, what, cycles in changes:
        totals[side] += cycles
        yield Step(
            arch=names[side], what=what, cycles=cycles, speedup=totals["base"] / totals["archon"]
        )


def _file(folder: Path, name: str) -> str:
    """Return where a workload is: a file of the folder, or a network known by its name."""
    if not name.endswith(".h5"):
        return name
    path = folder / name
    if not path.is_file():
        files = {one for entry in read_tree("ics21")["headline"] for one in entry["real"]}
        wanted = " and ".join(sorted(one for one in files if one.endswith(".h5")))
        raise WorkloadError(
            f"{path}: no such file; --real needs a folder with {wanted}, trained networks that"
            " docs/training.md says how to make"
        )
    return str(path)


def _seconds(report: Report, images: int) -> NDArray[np.float64]:
    """Time of each image; a machine that no image makes a difference to takes the same for all."""
    cycles = [one.total_cycles for one in report.per_image]
    if len(cycles) == 1:
        cycles *= images
    return np.array(cycles, np.float64) / (report.clock_mhz * 1e6)


def real_headline(folder: Path, execute: Callable[[Run], Report]) -> RealHeadline:
    """Run the headline's networks with their own masks, in cycle fidelity.

    Parameters
    ----------
    folder : Path
        Holds the workload files.
    execute : function of a run
        Carries a run out, with or without showing progress.

    Raises
    ------
    WorkloadError
        A file is missing, or another network; both files' images are not the same.
    """
    reports: dict[tuple[str, str], Report] = {}
    claims = []
    for entry in read_tree("ics21")["headline"]:
        sides = [
            (run.rpartition("/")[2], _file(folder, name))
            for run, name in zip((entry["archon"], entry["against"]), entry["real"], strict=True)
        ]
        for side in sides:
            if side not in reports:
                reports[side] = execute(_run(*side))
        archon, base = (reports[side] for side in sides)
        images = _same_images(archon, base)
        claims.append(
            RealClaim(
                claim=entry["claim"],
                published=entry["quotient"],
                archon=archon,
                against=base,
                interval=speedup_interval(_seconds(base, images), _seconds(archon, images)),
                steps=tuple(_steps(archon, base, (entry["archon"], entry["against"]))),
            )
        )
    return RealHeadline(tuple(claims))


def _run(arch: str, name: str) -> Run:
    """Return a run of all images of a workload on a machine's preset."""
    run = Scenario(arch=arch, workload=name, images="all").prepare()
    network = Path(name).name.removesuffix(".h5").removesuffix("-pruned")
    if run.workload.provenance.network != network:
        raise WorkloadError(
            f"{name}: network is {run.workload.provenance.network!r}; it must be {network!r}"
        )
    return run


def _same_images(archon: Report, base: Report) -> int:
    """Return how many images both sides ran; networks of shapes alone run as any number."""
    mine, other = archon.provenance.image_indices, base.provenance.image_indices
    if len(base.per_image) > 1 and (archon.images != base.images or mine != other):
        raise WorkloadError(
            f"{archon.workload} has images {mine or archon.images}, {base.workload} has"
            f" {other or base.images}; a speedup needs the same images on both sides"
        )
    return int(archon.images)
