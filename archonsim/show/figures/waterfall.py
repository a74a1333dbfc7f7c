"""A bound waterfall: from the necessary work, owner by owner, to the cycles taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pandas as pd
from matplotlib.ticker import EngFormatter

from archonsim.errors import ResultError, nearest
from archonsim.result.waterfall import Waterfall
from archonsim.show.figures.chart import Chart
from archonsim.show.figures.frames import about_waterfall, need_columns
from archonsim.show.figures.kind import WATERFALL, Figure, Option
from archonsim.show.figures.style import INK, Size, look, scale
from archonsim.vocabulary import known

BAR_INCHES = 0.17
#: Share of the axis that a number next to a bar needs, at most.
ROOM = 0.3
WORK_COLOR, LOSS_COLOR, TOTAL_COLOR = "#0072B2", "#E69F00", "#4D4D4D"


def waterfall_frame(fall: Waterfall) -> pd.DataFrame:
    """Return one row for each step of the network's waterfall and of each layer's.

    Name, owner, cycles, what they add up to.

    Parameters
    ----------
    fall : Waterfall
    """
    return pd.DataFrame(
        [
            {"name": one.name, **step._asdict()}
            for one in (fall.network, *fall.layers)
            for step in one.steps
        ],
        columns=["name", "owner", "cycles", "cumulative"],
    )


def plot_waterfall(
    frame: pd.DataFrame, *, name: str = "all", subtitle: str = "", size: Size = Size.column
) -> Chart:
    """Draw one waterfall.

    A bar for each owner, beginning where the last one ended, and the sum below.

    Parameters
    ----------
    frame : DataFrame
        Columns name, owner, cycles, cumulative, as :func:`waterfall_frame` gives them.
    name : str
        Layer or block; ``all`` is the whole network.
    subtitle : str
    size : Size

    Raises
    ------
    ResultError
        No waterfall has this name.
    """
    need_columns(frame, ("name", "owner", "cycles", "cumulative"))
    table = frame[frame["name"] == name].reset_index(drop=True)
    if table.empty:
        raise ResultError(
            f"no layer or block {name!r} in this waterfall{nearest(name, map(str, frame['name']))}"
        )
    total = table["cumulative"].iloc[-1]
    titles = [known.owner(one).title for one in table["owner"]]
    with look(size):
        title = "Where the cycles go" if name == "all" else f"Where the cycles of {name} go"
        height = 0.4 + BAR_INCHES * (len(table) + 1)
        chart = Chart(table, size=size, height=height, title=title, subtitle=subtitle)
        axes = chart.subplots()
        starts = table["cumulative"] - table["cycles"]
        work = table["owner"].map(lambda one: known.owner(one).work).astype(bool)
        styles = ((work, WORK_COLOR, "", "work"), (~work, LOSS_COLOR, "////", "lost"))
        for chosen, color, hatch, label in styles:
            axes.barh(
                table.index[chosen],
                table["cycles"][chosen],
                left=starts[chosen],
                height=0.72,
                color=color,
                hatch=hatch,
                edgecolor=INK,
                label=label,
            )
        axes.barh(
            [len(table)], [total], height=0.72, color=TOTAL_COLOR, edgecolor=INK, label="taken"
        )
        for place, (end, cycles) in enumerate(
            zip(table["cumulative"], table["cycles"], strict=True)
        ):
            axes.plot(
                [end, end],
                [place - 0.36, place + 1.36],
                color=INK,
                linewidth=0.4 * scale(size),
                marker="",
                linestyle="-",
            )
            begin, gap = end - cycles, 0.012 * total
            inside = end >= 0.8 * total and begin < ROOM * total
            at, side = (
                (end + gap, "left")
                if end < 0.8 * total
                else ((end if inside else begin) - gap, "right")
            )
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0} if inside else None
            axes.text(
                at,
                place,
                _figures(cycles, total),
                va="center",
                ha=side,
                size=5.8 * scale(size),
                bbox=box,
            )
        axes.text(
            0.988 * total,
            len(table),
            _figures(total, total),
            va="center",
            ha="right",
            size=5.8 * scale(size),
            color="white",
        )
        axes.set_yticks(range(len(table) + 1), [*titles, "cycles taken"])
        axes.set_ylim(len(table) + 0.5, -0.5)
        axes.set_xlim(0, total)
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlabel("cycles of an image")
    return chart


def _figures(cycles: float, total: float) -> str:
    places = 0 if cycles < 1e3 else 1 if cycles < 1e6 else 2
    return f"{EngFormatter(places=places, sep='')(cycles)} ({100 * cycles / total:.1f} %)"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaterfallOptions:
    """Options of ``archonsim plot waterfall``."""

    layer: Annotated[str, Option("A layer or block, such as b1; all: the network.")] = "all"


def _draw(fall: Waterfall, options: WaterfallOptions, size: Size) -> Chart:
    caption = about_waterfall(fall)
    return plot_waterfall(waterfall_frame(fall), name=options.layer, subtitle=caption, size=size)


FIGURE = Figure(
    summary="From necessary work to cycles taken, owner by owner.",
    source=WATERFALL,
    options=WaterfallOptions,
    draw=_draw,
)
