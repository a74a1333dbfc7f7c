"""An inspection as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from archonsim.network.prediction import TERNARY
from archonsim.result.inspect import BlockContent, Inspection, LayerContent, ReluContent
from archonsim.result.wording import export_lines, number, provenance_lines, trust
from archonsim.show.terminal.style import new_table

_NOT_COUNTED = (
    "Masks are not decoded: --deep counts what the predictors hit and missed in all images,"
    " --images 0 in the first one"
)


def render_inspection(inspection: Inspection) -> RenderableType:
    """Return layers, blocks, masks and sizes as tables, provenance first."""
    parts: list[RenderableType] = [_head(inspection), Text(), _layers(inspection.layers)]
    if inspection.blocks:
        parts += [Text(), _blocks(inspection.blocks)]
    if any(block.relu1 is not None for block in inspection.blocks):
        parts += [Text(), _relus(inspection)]
    elif inspection.images and any(block.predicted for block in inspection.blocks):
        parts += [Text(), Text(_NOT_COUNTED)]
    if inspection.bytes:
        parts += [Text(), _sizes(inspection.bytes)]
    return Group(*parts)


def _head(inspection: Inspection) -> Text:
    head = Text(inspection.workload, style="bold")
    for line in (
        *provenance_lines(inspection.provenance, inspection.digest),
        *export_lines(inspection.provenance),
    ):
        head.append("\n" + line, style="not bold")
    counts = (
        f"{len(inspection.layers)} layers, {len(inspection.blocks)} blocks, images with masks:"
        f" {inspection.images}"
    )
    totals = (
        f"{number(inspection.macs)} MACs an image unfused, {number(inspection.params)} parameters"
    )
    return head.append(f"\n{counts}; {totals}", style="not bold")


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _size(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape))


def _table(title: str, words: Iterable[str], numbers: Iterable[str]) -> Table:
    return new_table(tuple(words), tuple(numbers), title=title, bold_title=True, ruled=False)


def _layers(layers: Sequence[LayerContent]) -> Table:
    names = ["input", "output", "kernel", "stride", "groups", "MACs", "weights", "density"]
    counted = any(one.input_density is not None for one in layers)
    table = _table(
        "Layers (maps as channels x height x width)",
        ("layer", "kind", "role", "activation"),
        names + ["inputs not 0"] * counted,
    )
    for one in layers:
        table.add_row(
            one.name,
            one.kind,
            one.role,
            "" if one.activation == "none" else one.activation,
            _size(one.input),
            _size(one.output),
            _size(one.kernel),
            _size(one.stride),
            str(one.groups),
            number(one.macs),
            number(one.weights),
            _percent(one.density),
            *[_percent(one.input_density)] * counted,
        )
    return table


def _blocks(blocks: Iterable[BlockContent]) -> Table:
    names = ("C", "M", "O", "groups", "fused weights", "of them not 0")
    table = _table(
        "Blocks (C -> M -> O channels)",
        ("block", "order", "residual", "shuffle", "predicted"),
        names,
    )
    for one in blocks:
        table.add_row(
            one.name,
            one.order,
            one.residual,
            str(one.shuffle) if one.shuffle else "none",
            _predicted(one),
            str(one.in_channels),
            str(one.mid_channels),
            str(one.out_channels),
            str(one.groups),
            number(one.fused_weights),
            "" if one.fused_density is None else f"{100 * one.fused_density:.2f} %",
        )
    return table


def _predicted(block: BlockContent) -> str:
    if not block.predicted:
        return "no"
    return "yes" if block.predictor == TERNARY.predictor else block.predictor


def _rows(blocks: Iterable[BlockContent]) -> Iterator[tuple[str, str, ReluContent]]:
    for block in blocks:
        for place, relu in ((1, block.relu1), (2, block.relu2)):
            if relu is not None:
                yield block.name, f"ReLU {place}", relu


def _relus(inspection: Inspection) -> Table:
    images = inspection.inspected
    of = (
        "all images"
        if len(images) == inspection.images
        else f"images {', '.join(map(str, images))}"
    )
    synthetic = inspection.provenance.mask_source == "synthetic"
    source = f"{trust('synthetic').masks} masks, " if synthetic else ""
    numbers = ("activations", "predicted > 0", "truly > 0", "hits", "misses", "false alarms")
    rows = list(_rows(inspection.blocks))
    clips = any(relu.clipped is not None for _, _, relu in rows)
    more = ("clipped", "truly clipped") * clips
    table = _table(f"Masks ({source}{of})", ("block", "mask"), (*numbers, *more))
    for name, mask, relu in rows:
        rates = (
            relu.predicted_density,
            relu.true_density,
            relu.hit_rate,
            relu.miss_rate,
            relu.false_alarm_rate,
        )
        clipped = [
            _percent(None if count is None else count / relu.activations)
            for count in (relu.clipped, relu.truly_clipped)
        ]
        table.add_row(
            name, mask, number(relu.activations), *map(_percent, rates), *clipped[: 2 * clips]
        )
    return table


def _sizes(parts: dict[str, int]) -> Table:
    total = sum(parts.values())
    table = _table("File", ("content",), ("bytes", "share"))
    for name, size in parts.items():
        table.add_row(name, number(size), _percent(size / total))
    table.add_row("all", number(total), "")
    return table
