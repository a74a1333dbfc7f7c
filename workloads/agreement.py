"""``python -m workloads.agreement FILE``: how alike the masks of a block's channels are.

Recipes that train narrow and widen make most channels perturbed copies of others. Copies that never
part ways would make masks more alike than an ordinary training does, and so a machine's lanes more
evenly loaded. Hence two groups of pairs of channels, both within one group of the convolution:
*copies*, which stem from the same trained channel, and *strangers*, which do not.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from archonsim.errors import ArchonsimError, WorkloadError
from archonsim.network.block import Block
from archonsim.tracefile.reader import open_workload
from archonsim.zoo.fused import fusible, slice_channels
from workloads.book import load_recipe
from workloads.recipe import Recipe


def widened(recipe: Recipe) -> list[float]:
    """Return the shares of channels that a recipe had trained each time it widened, in order."""
    return [stage.widen for phase in recipe.phases for stage in phase.stages if stage.widen]


def ancestors(channels: int, widths: Sequence[float]) -> NDArray[np.int64]:
    """Return for each of a group's channels the one that it stems from, as `widen` copies them.

    Parameters
    ----------
    channels : int
        Wide channels of a group.
    widths : as of :func:`widened`
    """
    place = np.arange(channels)
    for width in reversed(widths):
        place %= slice_channels(channels, width)
    return place


@dataclass(frozen=True, slots=True)
class Agreement:
    """Means over pairs of channels.

    Attributes
    ----------
    pairs : int
    agreement : float
        Share of an image's activations that both channels keep or both drop.
    independent : float
        What the agreement would be, were the masks independent and as dense as they are.
    correlation : float
        Pearson's, of the two masks; channels that keep everything or nothing have none.
    """

    pairs: int
    agreement: float
    independent: float
    correlation: float


def compare(masks: NDArray[Any], family: NDArray[np.int64]) -> tuple[Agreement, Agreement]:
    """Compare the masks ``(M, positions) bool`` of a group's channels: copies, then strangers."""
    bits = masks.astype(np.float32)
    kept = bits.mean(1, dtype=np.float64)
    both = (bits @ bits.T).astype(np.float64) / bits.shape[1]
    expected = np.outer(kept, kept)
    deviation = np.sqrt(kept * (1 - kept))
    spread = np.outer(deviation, deviation)
    agreement = 1 - kept[:, None] - kept[None, :] + 2 * both
    independent = 1 - kept[:, None] - kept[None, :] + 2 * expected
    pair = np.triu(np.ones(both.shape, bool), 1)
    same = family[:, None] == family[None, :]
    found = []
    for some in (pair & same, pair & ~same):
        defined = some & (spread > 0)
        correlation = (both - expected)[defined] / spread[defined]
        found.append(
            Agreement(
                pairs=int(some.sum()),
                agreement=float(agreement[some].mean()) if some.any() else float("nan"),
                independent=float(independent[some].mean()) if some.any() else float("nan"),
                correlation=float(correlation.mean()) if defined.any() else float("nan"),
            )
        )
    return found[0], found[1]


def mean(parts: Sequence[Agreement]) -> Agreement:
    """Average over all pairs of several groups or blocks."""
    some = [part for part in parts if part.pairs]
    weights = [part.pairs for part in some]
    if not some:
        return Agreement(0, float("nan"), float("nan"), float("nan"))

    def average(name: str) -> float:
        values = np.array([getattr(part, name) for part in some])
        known = ~np.isnan(values)
        if not known.any():
            return float("nan")
        return float(np.average(values[known], weights=np.array(weights)[known]))

    return Agreement(
        pairs=sum(weights),
        agreement=average("agreement"),
        independent=average("independent"),
        correlation=average("correlation"),
    )


def block_agreement(
    block: Block, masks: Sequence[NDArray[Any]], widths: Sequence[float]
) -> tuple[Agreement, Agreement]:
    """Compare one ReLU's masks of a block, one ``(M, H, W) bool`` an image."""
    each = block.mid_channels // block.groups
    # Blocks that the kernels do not know are trained whole.
    family = ancestors(each, widths if fusible(block) else ())
    rows = np.concatenate([one.reshape(len(one), -1) for one in masks], axis=1)
    parts = [compare(rows[at : at + each], family) for at in range(0, len(rows), each)]
    return mean([one for one, _ in parts]), mean([other for _, other in parts])


def _line(name: str, relu: str, copies: Agreement, strangers: Agreement) -> str:
    cells = [
        f"{one.agreement:8.1%} {one.independent:11.1%} {one.correlation:11.3f}"
        if one.pairs
        else f"{'-':>8} {'-':>11} {'-':>11}"
        for one in (copies, strangers)
    ]
    return f"{name:6} {relu:4} {cells[0]}  {cells[1]}"


def main(
    file: Annotated[Path, typer.Argument(help="a workload file with masks")],
    recipe: Annotated[str, typer.Option(help="the recipe that trained it")] = "cpu",
) -> None:
    """Print how far the predicted masks of copied channels agree, and those of strangers."""
    try:
        workload = open_workload(file)
        if workload.trace is None or not workload.trace.images:
            raise WorkloadError(f"{file}: holds no masks")
        widths = widened(load_recipe(workload.provenance.network, recipe))
    except ArchonsimError as error:
        Console(stderr=True, highlight=False).print(f"error: {error}")
        sys.exit(error.exit_code)
    images = range(workload.trace.images)
    heads = f"{'agree':>8} {'independent':>11} {'correlation':>11}"
    lines = [f"{'':11} {'copies':<32}  strangers", f"{'block':6} {'ReLU':4} {heads}  {heads}"]
    totals: dict[str, list[tuple[Agreement, Agreement]]] = {"1": [], "2": []}
    for item in workload.items:
        if not isinstance(item, Block) or not item.predicted:
            continue
        for relu, found in totals.items():
            masks = [
                getattr(workload.trace.block(item.name, image), f"keep{relu}").unpack()
                for image in images
            ]
            found.append(block_agreement(item, masks, widths))
            lines.append(_line(item.name, relu, *found[-1]))
    for relu, found in totals.items():
        copies, strangers = (mean(column) for column in zip(*found, strict=True))
        lines.append(_line("all", relu, copies, strangers))
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    typer.run(main)
