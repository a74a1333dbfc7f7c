"""``archonsim verify``: recompute blocks under their masks, layer by layer or fused."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from archonsim.cli.common import Form, Format, emit
from archonsim.cli.forecast import DryRun, Memory, told
from archonsim.cli.options import TracedWorkload
from archonsim.cli.progress import StepProgress
from archonsim.network.workload import Workload
from archonsim.result.files import rows_to_csv, to_json
from archonsim.result.wording import number, provenance_lines
from archonsim.runs.forecast import apply_budget, forecast_verify, parse_memory
from archonsim.runs.verify import TOLERANCE, BlockCheck, verify
from archonsim.show.terminal.style import new_table
from archonsim.tracefile.find import choose_images, find_workload, parse_images

_CLIPPED = "deliberately clipped variant (ReLU, then mask)"
_FUSED = "masked fused sum"
_MASKED = "layers with masks in the ReLUs' place"


def verify_command(
    workload: TracedWorkload,
    images: Annotated[
        str, typer.Option(help="Images to check: all, or numbers such as 0 or 0,2-3.")
    ] = "all",
    tolerance: Annotated[
        float,
        typer.Option(min=0, help="Largest error, relative to a block output's largest magnitude."),
    ] = TOLERANCE,
    clip: Annotated[
        bool,
        typer.Option(
            "--clip", help="Compute the deliberately wrong variant (ReLU, then mask): it must fail."
        ),
    ] = False,
    fused: Annotated[
        bool,
        typer.Option(
            "--fused",
            help=(
                "Compute the sum over the fused weights, in the order of the machine's stream, as"
                " --accumulator-bits does; minutes an image where weights are not pruned."
            ),
        ),
    ] = False,
    accumulator_bits: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=48,
            help="Also count sums that adders of this width could not hold; ARCHON's have 20 bits.",
        ),
    ] = None,
    dry_run: DryRun = False,
    memory: Memory = None,
    form: Form = Format.table,
) -> None:
    """Recompute each block under its masks and compare with the trained network's output.

    Exit code 1 when a block fails.
    """
    work = find_workload(workload)
    numbers = choose_images(work, parse_images(images))
    blocks = sum(block.predicted for block in work.blocks())
    fused = fused or accumulator_bits is not None
    budget = parse_memory(memory)
    if blocks and told(
        forecast_verify(work, len(numbers), fused=fused, budget=budget), form, dry_run=dry_run
    ):
        return
    apply_budget(budget)
    with StepProgress(f"verify {work.name}", blocks * len(numbers)) as progress:
        checks = verify(
            work,
            images=numbers,
            tolerance=tolerance,
            clip=clip,
            accumulator_bits=accumulator_bits,
            fused=fused,
            on_step=progress.step,
        )
    passed = all(check.passed for check in checks)
    tree = {
        "workload": work.name,
        "digest": work.digest,
        "variant": "clipped" if clip else "masked",
        "form": "fused" if fused and not clip else "layers",
        "tolerance": tolerance,
        "passed": passed,
        "checks": [check.to_dict() for check in checks],
    }
    emit(
        form,
        lambda: _render(work, checks, _CLIPPED if clip else _FUSED if fused else _MASKED),
        lambda: to_json(tree),
        lambda: rows_to_csv([check.to_dict() for check in checks]),
    )
    raise typer.Exit(0 if passed else 1)


def _sums(checks: list[BlockCheck]) -> list[str]:
    """What the adders meet in one block, over its images."""
    uses = [check.accumulators for check in checks if check.accumulators]
    if not uses:
        return []
    return [
        number(sum(use.sums for use in uses)),
        number(sum(use.overflows for use in uses)),
        str(max(use.bits for use in uses)),
        " ".join(number(sum(one)) for one in zip(*(use.by_lane for use in uses), strict=True)),
    ]


def _render(work: Workload, checks: list[BlockCheck], what: str) -> RenderableType:
    """One row a block: the worst of its images."""
    table = new_table(ruled=False)
    for name in ("block", "images"):
        table.add_column(name)
    wide = ("sums", "overflow", "bits needed", "by adder") if checks[0].accumulators else ()
    for name in ("max error", "of max |y|", "relative", "", *wide):
        table.add_column(name, justify="right")
    for block in dict.fromkeys(check.block for check in checks):
        mine = [check for check in checks if check.block == block]
        worst = max(mine, key=lambda check: check.relative)
        good = all(check.passed for check in mine)
        verdict = Text("PASS", style="green") if good else Text("FAIL", style="bold red")
        table.add_row(
            block,
            str(len(mine)),
            f"{worst.max_error:.3g}",
            f"{worst.scale:.3g}",
            f"{worst.relative:.2e}",
            verdict,
            *_sums(mine),
        )
    passed = all(check.passed for check in checks)
    title = Text(f"{what} against the network's own block outputs", style="bold")
    for line in provenance_lines(work.provenance, work.digest):
        title.append("\n" + line, style="not bold")
    failed = sum(not check.passed for check in checks)
    end = Text(
        f"{'PASS' if passed else 'FAIL'}: tolerance {checks[0].tolerance:.2e} of the largest"
        " output",
        style="bold",
    )
    end.append(f"; {len(checks) - failed} of {len(checks)} checks within it", style="not bold")
    return Group(title, Text(), table, Text(), end)
