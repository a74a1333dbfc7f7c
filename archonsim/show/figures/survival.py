"""What survives the ReLUs.

Maps over pixels, and densities by block with their spread over channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from archonsim.errors import MaskError, ResultError, nearest
from archonsim.network.block import Block
from archonsim.network.workload import Workload
from archonsim.show.figures.chart import Chart
from archonsim.show.figures.frames import about_workload
from archonsim.show.figures.kind import MASKS, Figure, NoOptions, Option
from archonsim.show.figures.masks import Masks
from archonsim.show.figures.style import INK, Size, look, scale, width
from archonsim.trace.what_if import MaskPolicy, no_masks

#: Width of one map in inches, in a column.
MAP_INCHES = 0.52
COLORS = {1: "#0072B2", 2: "#D55E00"}
QUANTILES = (0.05, 0.25, 0.75, 0.95)


def _blocks(workload: Workload, names: Sequence[str]) -> list[Block]:
    predicted = [block for block in workload.blocks() if block.predicted]
    if not predicted:
        raise MaskError(f"workload {workload.name!r} has no predicted block, so no masks to draw")
    known = {block.name: block for block in predicted}
    for name in names:
        if name not in known:
            raise ResultError(
                f"no predicted block {name!r} in {workload.name}{nearest(name, known)}"
            )
    return [known[name] for name in names] or predicted


def _kept(
    workload: Workload, block: Block, policy: MaskPolicy, images: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of images in which each activation survives either ReLU, each ``(M, H, W)``."""
    if workload.trace is None and policy.policy not in ("all", "random"):
        raise no_masks(workload)
    sums: list[Any] = [0, 0]
    for image in images:
        for at, mask in enumerate(policy.masks(workload, block, image)):
            sums[at] = sums[at] + mask.unpack().astype(np.int64)
    return sums[0] / len(images), sums[1] / len(images)


def survival_frame(
    workload: Workload,
    *,
    images: Sequence[int] = (0,),
    masks: MaskPolicy | None = None,
    blocks: Sequence[str] = (),
    on_step: Callable[[str], None] = lambda name: None,
) -> pd.DataFrame:
    """Return one row for each block, ReLU and pixel.

    The share of channels (and images) that survives there.

    Parameters
    ----------
    workload : Workload
        With masks.
    images : sequence of int
        Images that are averaged over.
    masks : MaskPolicy, optional
        What-if masks; the trace's own by default.
    blocks : sequence of str
        Names of blocks; all predicted ones by default.
    on_step : function of a block's name
        Called when it is done.

    Raises
    ------
    MaskError
        The workload has no masks.
    ResultError
        A block is unknown.
    """
    parts = []
    for block in _blocks(workload, blocks):
        for relu, kept in enumerate(_kept(workload, block, masks or MaskPolicy(), images), 1):
            pixels = kept.mean(axis=0)
            y, x = np.indices(pixels.shape)
            parts.append(
                pd.DataFrame(
                    {
                        "block": block.name,
                        "relu": relu,
                        "y": y.ravel(),
                        "x": x.ravel(),
                        "survival": pixels.ravel(),
                    }
                )
            )
        on_step(block.name)
    return pd.concat(parts, ignore_index=True)


def density_frame(
    workload: Workload,
    *,
    images: Sequence[int] = (0,),
    masks: MaskPolicy | None = None,
    on_step: Callable[[str], None] = lambda name: None,
) -> pd.DataFrame:
    """Return one row for each block and ReLU: mean survival, and quantiles over channels.

    `oracle` is the mean with perfect predictions, where the workload holds what really is positive.
    Parameters and errors as :func:`survival_frame`.
    """
    rows = []
    for block in _blocks(workload, ()):
        oracle: Sequence[Any] = (None, None)
        if workload.images:
            oracle = [kept.mean() for kept in _kept(workload, block, MaskPolicy("oracle"), images)]
        for relu, kept in enumerate(_kept(workload, block, masks or MaskPolicy(), images), 1):
            channels = kept.mean(axis=(1, 2))
            spread = {
                f"p{100 * one:02.0f}": value
                for one, value in zip(QUANTILES, np.quantile(channels, QUANTILES), strict=True)
            }
            rows.append(
                {
                    "block": block.name,
                    "relu": relu,
                    "mean": channels.mean(),
                    **spread,
                    "oracle": oracle[relu - 1],
                }
            )
        on_step(block.name)
    return pd.DataFrame(rows)


def plot_survival(frame: pd.DataFrame, *, subtitle: str = "", size: Size = Size.column) -> Chart:
    """Draw a pair of maps for each block.

    How much survives the first and the second ReLU at each pixel.

    Parameters
    ----------
    frame : DataFrame
        As :func:`survival_frame` gives it.
    subtitle : str
    size : Size
    """
    blocks = list(dict.fromkeys(frame["block"]))
    zoom = scale(size)
    room = max(1, int((width(size) - 0.2 * zoom) / ((2 * MAP_INCHES + 0.12) * zoom)))
    down = -(-len(blocks) // room)
    across = -(-len(blocks) // down)
    low, high = (
        np.floor(frame["survival"].min() * 20) / 20,
        np.ceil(frame["survival"].max() * 20) / 20,
    )
    with look(size):
        title = "Survival of first and second ReLU by pixel"
        chart = Chart(
            frame,
            size=size,
            height=0.35 + down * (MAP_INCHES + 0.24),
            title=title,
            subtitle=subtitle,
        )
        grid = chart.subplots(down, 2 * across, squeeze=False)
        image = None
        for axes in grid.flat:
            axes.axis("off")
        for number, block in enumerate(blocks):
            row, col = divmod(number, across)
            for relu in (1, 2):
                axes = grid[row, 2 * col + relu - 1]
                mine = frame[(frame["block"] == block) & (frame["relu"] == relu)]
                image = axes.imshow(
                    mine.pivot(index="y", columns="x", values="survival").to_numpy(),
                    vmin=low,
                    vmax=high,
                )
                axes.set_title(
                    f"{block}, ReLU {relu}", size=6 * zoom, weight="normal", pad=2 * zoom
                )
        if image is not None:
            place: dict[str, Any] = {"location": "bottom", "shrink": 0.6, "aspect": 40, "pad": 0.01}
            bar = chart.colorbar(image, ax=grid, label="share of channels that survive", **place)
            bar.outline.set_visible(False)
    return chart


def plot_density(frame: pd.DataFrame, *, subtitle: str = "", size: Size = Size.column) -> Chart:
    """Draw the survival of both ReLUs by block.

    Mean, spread over channels, and what an oracle would keep.

    Parameters
    ----------
    frame : DataFrame
        As :func:`density_frame` gives it.
    subtitle : str
    size : Size
    """
    blocks = list(dict.fromkeys(frame["block"]))
    zoom = scale(size)
    with look(size):
        chart = Chart(
            frame,
            size=size,
            height=0.95 + 0.2 * max(3, len(blocks)),
            title="Survival by block",
            subtitle=subtitle,
        )
        axes = chart.subplots()
        for relu, color in COLORS.items():
            mine = frame[frame["relu"] == relu]
            places = np.array([blocks.index(one) for one in mine["block"]]) + (
                -0.17 if relu == 1 else 0.17
            )
            marker = "o" if relu == 1 else "s"
            axes.hlines(places, mine["p05"], mine["p95"], color=color, linewidth=0.8 * zoom)
            axes.hlines(
                places, mine["p25"], mine["p75"], color=color, linewidth=2.6 * zoom, alpha=0.6
            )
            named = {1: "first ReLU", 2: "second ReLU"}[relu]
            axes.plot(
                mine["mean"],
                places,
                color=color,
                marker=marker,
                linestyle="",
                markersize=3.6 * zoom,
                label=named,
            )
            if mine["oracle"].notna().any():
                style: dict[str, Any] = {
                    "marker": marker,
                    "linestyle": "",
                    "markersize": 3.6 * zoom,
                    "markerfacecolor": "none",
                    "color": INK,
                }
                axes.plot(mine["oracle"], places, **style, label="oracle" if relu == 1 else None)
        axes.plot(
            [],
            [],
            color=INK,
            linewidth=2.6 * zoom,
            alpha=0.6,
            marker="",
            linestyle="-",
            label="middle half of channels",
        )
        axes.plot(
            [],
            [],
            color=INK,
            linewidth=0.8 * zoom,
            marker="",
            linestyle="-",
            label="5th to 95th percentile",
        )
        axes.set_yticks(range(len(blocks)), blocks)
        axes.set_ylim(len(blocks) - 0.4, -0.6)
        axes.set_xlim(-0.01, 1.01)
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("share of activations that survive")
        chart.legend(loc="outside lower center", ncols=2 if size is Size.column else 5)
    return chart


@dataclass(frozen=True, slots=True, kw_only=True)
class SurvivalOptions:
    """Options of ``archonsim plot survival``."""

    block: Annotated[
        tuple[str, ...], Option("A block, such as b1; all by default. Repeatable.")
    ] = ()


def _draw_survival(masks: Masks, options: SurvivalOptions, size: Size) -> Chart:
    frame = survival_frame(
        masks.workload,
        images=masks.images,
        masks=masks.policy,
        blocks=options.block,
        on_step=masks.on_step,
    )
    return plot_survival(frame, subtitle=_about(masks), size=size)


def _draw_density(masks: Masks, options: NoOptions, size: Size) -> Chart:
    frame = density_frame(
        masks.workload, images=masks.images, masks=masks.policy, on_step=masks.on_step
    )
    return plot_density(frame, subtitle=_about(masks), size=size)


def _about(masks: Masks) -> str:
    return about_workload(masks.workload, masks.images, masks.policy)


SURVIVAL = Figure(
    summary="Masks of a workload, pixel by pixel.",
    source=MASKS,
    options=SurvivalOptions,
    draw=_draw_survival,
    size=Size.page,
)
DENSITY = Figure(
    summary="Masks of a workload, block by block.",
    source=MASKS,
    options=NoOptions,
    draw=_draw_density,
)
