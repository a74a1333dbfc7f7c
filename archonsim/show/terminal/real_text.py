"""ICS'21's headline on real masks, for a terminal: both sides, the speedup, and where it went."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from archonsim.reproduce.real import RealClaim, RealHeadline
from archonsim.result.report import Report
from archonsim.result.wording import is_warning, number, origin_line, provenance_lines
from archonsim.show.terminal.style import new_table
from archonsim.stats.bootstrap import COVERAGE, RESAMPLES, SEED


def _about(report: Report) -> Iterator[Text]:
    """Say what a side is, and how far it can be trusted."""
    yield Text(f"{report.arch} on {report.workload}", style="bold")
    lines = [
        *provenance_lines(report.provenance, report.digest),
        *origin_line(report.workload, report.provenance.mask_source),
    ]
    for line in lines:
        yield Text(f"  {line}", style="yellow" if is_warning(line) else "")


def _claim(claim: RealClaim) -> Iterator[RenderableType]:
    found = claim.interval
    yield Text(
        f"{claim.claim}: published {claim.published}, here {found.value:.2f}"
        f" [{found.low:.2f}, {found.high:.2f}], {found.images} images",
        style="bold",
    )
    table = new_table(("step",), ("cycles", "speedup"), tight=True)
    for step in claim.steps:
        name = f"{step.arch}, {step.what}" if step.arch else step.what
        sign = "" if not step.arch else "+" if step.cycles > 0 else "-"
        cycles = f"{sign}{number(round(abs(step.cycles)))}" if step.arch else ""
        table.add_row(name, cycles, f"{step.speedup:.2f}")
    yield table


def render_real(headline: RealHeadline) -> RenderableType:
    """Return the headline as tables."""
    parts: list[RenderableType] = []
    seen: list[tuple[str, str]] = []
    for claim in headline.claims:
        for report in (claim.archon, claim.against):
            if (report.arch, report.workload) not in seen:
                seen.append((report.arch, report.workload))
                parts += _about(report)
    for claim in headline.claims:
        parts += ["", *_claim(claim)]
    parts += [
        "",
        Text(
            f"in brackets: {100 * COVERAGE:.0f} % interval over images, percentile bootstrap,"
            f" {RESAMPLES} resamples, seed {SEED}; a step's cycles are means over images, its"
            " speedup is that after it and those before it",
            style="dim",
        ),
    ]
    return Group(*parts)
