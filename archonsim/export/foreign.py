"""Anybody's network as a workload: examined, run on images, its ReLUs real or predicted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import archonsim
from archonsim.errors import WorkloadError
from archonsim.export.agreement import Agreement
from archonsim.export.examine import Examined, examine
from archonsim.export.graph import Graph
from archonsim.export.images import Images, as_images, number_ranges
from archonsim.export.model_file import model_kind
from archonsim.export.predictors.protocol import FittedPair
from archonsim.export.predictors.registry import NONE, check_name, predictor
from archonsim.export.prune import Pruning
from archonsim.export.self_check import check_block, check_layers
from archonsim.export.source import Relu6, Source, module_source
from archonsim.export.traced_images import trace_images
from archonsim.export.units import Unit
from archonsim.export.walk import Tap, Walk, trace_block
from archonsim.network.block import Block
from archonsim.network.workload import Flavour, Item, Provenance, Workload
from archonsim.trace.tensors import BlockTrace, MemoryTrace

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Share of zeros from which on a network counts as pruned.
_PRUNED = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """How a network is exported, and what its file says of it.

    Attributes
    ----------
    name : str
        Of the network; the model's where empty.
    predictors : str
        ``none``, or a registered predictor.
    note : str
    untrained : bool
        Its weights are random.
    command : str
        That made the file; empty in Python.
    check : bool
        Compare what would be stored with the network, on the first image
        (:mod:`~archonsim.export.self_check`); where it is left out, the note says so.
    activations : bool
        Store which inputs of every layer are not zero, also of networks without blocks.
    values : bool
        Store what layers outside of blocks read that have a ReLU behind them, where no value of it
        is negative.
    accuracy : (right, images) or None
        How many labelled images the network, as it is exported, classifies right, of how many.
    """

    name: str = ""
    predictors: str = NONE
    note: str = ""
    untrained: bool = False
    command: str = ""
    check: bool = True
    activations: bool = False
    values: bool = False
    accuracy: tuple[int, int] | None = None


def export_source(
    examined: Examined,
    images: Images | None,
    options: ExportOptions,
    *,
    calibration: Images | None = None,
    on_step: Callable[[str], None] = lambda name: None,
) -> Workload:
    """Run a network on images and return it as a workload.

    Parameters
    ----------
    examined : Examined
    images : Images or None
        None exports weights alone.
    options : ExportOptions
    calibration : Images, optional
        What predictors are fitted to.
    on_step : function of a name
        Called once for each layer that is checked, for each image and block, and for each block
        whose predictors are fitted.

    Raises
    ------
    WorkloadError
        A layer or block does not reproduce the network; or predictors were asked for without
        images to fit them to.
    """
    source = examined.source
    items, taps = examined.items()
    images = images if taps or options.activations or options.values else None
    if options.check:
        check_layers(source.graph, source.runner, examined.layers, source.image, on_step)
    check_name(options.predictors)
    pairs: dict[str, FittedPair] = {}
    if options.predictors != NONE and taps and images is not None:
        pairs = _fit(source, taps, options.predictors, calibration, on_step)
    units = [unit for unit in examined.layers.values() if isinstance(unit, Unit)]
    pixels = images.pixels if images is not None else ()
    wanted = units if options.activations else (), units if options.values else ()
    traced = trace_images(source, taps, pixels, pairs, wanted, on_step)
    if options.check:
        _check_blocks(source, taps, traced.blocks)
    count = len(images) if images is not None else 0
    trace = MemoryTrace(
        layers={unit.name: unit.tensors for unit in units},
        predictor_pairs={
            block: pair.tensors for block, pair in pairs.items() if pair.tensors is not None
        },
        blocks=traced.blocks,
        images=count,
        inputs=traced.bits,
        maps=traced.maps,
    )
    said = _predicted(options.predictors, len(calibration or ()), traced.agreement)
    about = Provenance(
        network=options.name or source.model,
        dataset=images.dataset if images is not None else "",
        flavour=_flavour(units, bool(pairs)),
        mask_source="trained" if count else "none",
        created_by=f"archonsim {archonsim.__version__}",
        note="; ".join(filter(None, (_note(units, unmodelled(source.graph), options), said))),
        untrained=options.untrained,
        test_accuracy=options.accuracy and options.accuracy[0] / options.accuracy[1],
        test_images=options.accuracy[1] if options.accuracy else 0,
        model=source.model,
        model_sha256=source.sha256,
        split=images.split if images is not None else "",
        image_indices=number_ranges(images.indices) if images is not None else "",
        preprocessing=images.preprocessing if images is not None else "",
        framework=source.framework,
        command=options.command,
    )
    made = Workload(
        name=about.network,
        items=tuple(_declared(item, pairs) for item in items),
        provenance=about,
        trace=trace,
        norm_params=source.norm_params,
    )
    return replace(made, unexecuted_params=source.params - made.params)


def _fit(
    source: Source,
    taps: Sequence[Tap],
    name: str,
    calibration: Images | None,
    on_step: Callable[[str], None],
) -> dict[str, FittedPair]:
    """Fit predictors to images of their own."""
    from archonsim.export.calibrate import fit_predictors

    if calibration is None or not len(calibration):
        raise WorkloadError(
            f"{name} predictors are fitted to images of their own: give at least one for"
            " calibration"
        )
    found = predictor(name)
    return fit_predictors(source.graph, source.runner, taps, calibration.pixels, found, on_step)


def _predicted(name: str, count: int, agreement: Agreement | None) -> str:
    """Say where predicted masks come from; `count` images were fitted to."""
    if agreement is None:
        return ""
    return (
        f"masks of {name} predictors, fitted to {count} image{'s' * (count != 1)}; the network was"
        f" not trained with them ({agreement.text()})"
    )


def _declared(item: Item, pairs: Mapping[str, FittedPair]) -> Item:
    """Return a block with what its predictors declare."""
    if isinstance(item, Block) and item.name in pairs:
        return replace(item, prediction=pairs[item.name].prediction)
    return item


def _flavour(units: Sequence[Unit], predicted: bool) -> Flavour:
    if predicted:
        return "pred"
    zeros = sum(unit.tensors.weight.size - np.count_nonzero(unit.tensors.weight) for unit in units)
    return (
        "pruned"
        if zeros >= _PRUNED * sum(unit.tensors.weight.size for unit in units)
        else "vanilla"
    )


def _check_blocks(
    source: Source, taps: Sequence[Tap], traces: dict[tuple[str, int], BlockTrace]
) -> None:
    """Check the blocks on the first image, or on the one that the network was traced on."""
    walk = None if traces else Walk(source.graph, source.runner, source.image)
    for tap in taps:
        trace = traces[tap.block.name, 0] if walk is None else trace_block(walk, tap, None)
        check_block(tap.block, tap.tensors, trace)


def unmodelled(graph: Graph) -> str:
    """Say which operators multiply and are no layers, with their MACs; empty where there are none.

    They ran as the network's framework runs them, so that masks behind them are right; no machine
    takes time for them.
    """
    found = [node for node in graph.nodes if node.op == "unmodelled"]
    return ", ".join(f"{node.kind} {node.label} ({node.macs} MACs)" for node in found)


def _note(units: Sequence[Unit], missing: str, options: ExportOptions) -> str:
    """Add to a note what is not modelled or has no masks, and that the export was not checked."""
    counts = Counter(
        unit.activation for unit in units if unit.activation != "none" and not unit.end
    )
    without = ", ".join(f"{kind} ({count} layers)" for kind, count in counts.items())
    parts = (
        options.note,
        missing and f"NOT MODELLED, no machine takes time for it: {missing}",
        without and f"no masks for {without}",
        "" if options.check else "NOT CHECKED against the network",
    )
    return "; ".join(part for part in parts if part)


def _images(images: Images | Tensor | np.ndarray[Any, Any] | None) -> Images | None:
    return images if images is None or isinstance(images, Images) else as_images(np.asarray(images))


def export_module(
    module: nn.Module,
    images: Images | Tensor | np.ndarray[Any, Any],
    *,
    calibration: Any = None,
    relu6: Relu6 = "exact",
    pruning: Pruning | None = None,
    name: str = "",
    **options: Any,
) -> Workload:
    """Export a PyTorch module.

    Parameters
    ----------
    module : torch.nn.Module
        float32; it is run in evaluation mode and left as it is.
    images : (N, C, H, W) float32
        Preprocessed as the module expects; N of at least 1.
    calibration : (N, C, H, W) float32, optional
        For predictors and pruning.
    relu6 : {"exact", "relu"}
        Keep ReLU6, whose masks then say what it clips, or run ReLUs in its place.
    **options
        As :class:`ExportOptions` has them: ``predictors``, ``note``, ``untrained``,
        ``check``, ``accuracy``.

    Raises
    ------
    WorkloadError
        The module cannot be traced or does not take the images, or something in it has no
        description.
    """
    ready = _images(images)
    assert ready is not None
    source = module_source(module, ready.pixels[:1], name or type(module).__name__, relu6)
    return _exported(source, ready, _images(calibration), pruning, {"name": name} | options)


def _exported(
    source: Source,
    images: Images,
    calibration: Images | None,
    pruning: Pruning | None,
    options: dict[str, Any],
) -> Workload:
    examined = examine(source, images, pruning=pruning, calibration=calibration)
    if pruning is not None:
        notes = (options.get("note", ""), pruning.text())
        options = options | {"note": "; ".join(filter(None, notes))}
    return export_source(examined, images, ExportOptions(**options), calibration=calibration)


def export_onnx(
    path: Path,
    images: Images | np.ndarray[Any, Any],
    *,
    calibration: Any = None,
    relu6: Relu6 = "exact",
    **options: Any,
) -> Workload:
    """Export an ONNX file; see :func:`export_module`."""
    return export_model(
        path, images, calibration=calibration, relu6=relu6, suffix=".onnx", **options
    )


def export_model(
    path: Path,
    images: Images | np.ndarray[Any, Any],
    *,
    calibration: Any = None,
    relu6: Relu6 = "exact",
    pruning: Pruning | None = None,
    suffix: str = "",
    **options: Any,
) -> Workload:
    """Export a model file, read by what its suffix, or `suffix`, says; see :func:`export_module`.

    Raises
    ------
    WorkloadError
        Also where no reader takes such a file.
    """
    ready = _images(images)
    assert ready is not None
    source = model_kind(path, suffix).source(path, ready.pixels[:1], relu6)
    return _exported(source, ready, _images(calibration), pruning, options)
