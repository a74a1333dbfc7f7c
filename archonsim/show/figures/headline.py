"""ICS'21's headline on real masks: from each published speedup, step by step, to ours."""

from __future__ import annotations

import pandas as pd

from archonsim.reproduce.real import RealHeadline
from archonsim.show.figures.chart import Chart
from archonsim.show.figures.frames import shown
from archonsim.show.figures.style import INK, Size, look, machine_fill, scale
from archonsim.vocabulary import known

BAR_INCHES = 0.15
PUBLISHED_COLOR, OURS_COLOR = "#DDDDDD", "#4D4D4D"


def _title(arch: str, what: str) -> str:
    """Name a step: the published model, a phase's compute cycles, or a cause of stalls."""
    if not arch:
        return what
    kind, _, cause = what.partition(": ")
    if cause:
        return f"{machine_fill(arch).label}: {known.stall(cause).label}"
    name = known.phase(kind).title if kind.startswith("predict") or kind == "main" else kind
    return f"{machine_fill(arch).label}: {'layers' if kind == 'layer' else name}"


def plot_headline(headline: RealHeadline, *, size: Size = Size.page) -> Chart:
    """Draw each speedup's way from the published model to real masks, a bar for each step.

    Bars of ARCHON move left where it takes more cycles than published, those of the machine beaten
    move right. The last has the interval over images.

    Parameters
    ----------
    headline : RealHeadline
    size : Size
    """
    frame = pd.DataFrame(headline.rows())
    mine = headline.claims[0].archon
    caption = f"{mine.arch} on {shown(mine.workload)}, mean of {mine.images} images"
    for claim in headline.claims:
        caption += f" · {claim.against.arch} on {shown(claim.against.workload)}"
    many = [len(claim.steps) + 1 for claim in headline.claims]
    with look(size):
        chart = Chart(
            frame,
            size=size,
            height=0.8 * len(many) + BAR_INCHES * sum(many),
            title="The headline on real masks: what the published model leaves out",
            subtitle=caption,
        )
        panels = chart.subplots(len(many), 1, height_ratios=many, squeeze=False)[:, 0]
        small = 5.8 * scale(size)
        for claim, axes in zip(headline.claims, panels, strict=True):
            rows = frame[frame["claim"] == claim.claim].reset_index(drop=True)
            right = 1.14 * rows["speedup"].max()
            for place, row in rows.iterrows():
                fill = machine_fill(row["arch"]).bar() if row["arch"] else {}
                axes.barh(
                    place,
                    row["speedup"] - row["before"],
                    left=row["before"],
                    height=0.72,
                    **(fill or {"facecolor": PUBLISHED_COLOR, "edgecolor": INK}),
                )
                end = max(row["speedup"], row["before"])
                text = f"{row['speedup']:.2f}"
                axes.text(end + 0.01 * right, place, text, va="center", size=small)
            found, last = claim.interval, len(rows)
            axes.barh(last, found.value, height=0.72, facecolor=OURS_COLOR, edgecolor=INK)
            axes.errorbar(
                found.value,
                last,
                xerr=[[found.value - found.low], [found.high - found.value]],
                fmt="none",
                ecolor=INK,
                capsize=2 * scale(size),
            )
            text = f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
            axes.text(found.high + 0.01 * right, last, text, va="center", size=small)
            names = [_title(row["arch"], row["what"]) for _, row in rows.iterrows()]
            axes.set_yticks(range(last + 1), [*names, "real masks"])
            axes.set_ylim(last + 0.5, -0.5)
            axes.set_xlim(0, right)
            axes.axvline(1, color="black", linewidth=0.6 * scale(size), linestyle=":")
            axes.tick_params(axis="y", length=0)
            axes.set_xlabel(f"speedup {claim.claim}")
    return chart
