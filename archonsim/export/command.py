"""What ``archonsim export`` does, free of its command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from archonsim.errors import WorkloadError
from archonsim.export.examine import Examined, examine
from archonsim.export.foreign import ExportOptions, export_source
from archonsim.export.images import Images, Preprocessing, load_images, read_labels
from archonsim.export.model_file import model_kind
from archonsim.export.predictors.registry import NONE, check_name
from archonsim.export.prune import Pruning, classifies
from archonsim.export.runtime_check import compare_with_runtime
from archonsim.export.source import (
    Relu6,
    Source,
    load_checkpoint,
    make_module,
    module_source,
)
from archonsim.network.networks import network
from archonsim.network.workload import Workload
from archonsim.trace.tensors import Floats
from archonsim.tracefile.writer import write_workload

#: Labelled images that are in memory at once.
_AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to export, and on which images.

    Attributes
    ----------
    network, module, model : str, str, Path or None
        One of them: a network of ours, a factory ``package.module:function``, a model file.
    suffix : str
        What `model` is read as, instead of by its own suffix.
    checkpoint : Path or None
    images : Path or None
        None: weights alone, of a network that takes `size` (C, H, W).
    first, count, calibration : int
        Images whose masks are stored; behind them, those that predictors are fitted to.
    activations : bool
        Store which inputs of every layer are not zero.
    values : bool
        Store what layers outside of blocks read that have a ReLU behind them.
    pruning : Pruning or None
        What to prune first, on the calibration images.
    labels : Path or None
        The classes of the first images, from number 0 on: how many the network gets right is
        stored, those apart that it was calibrated on.
    runtime : bool
        Compare the outputs with those of the file's own runtime, on the stored images.
    """

    network: str = ""
    module: str = ""
    model: Path | None = None
    suffix: str = ""
    checkpoint: Path | None = None
    images: Path | None = None
    first: int = 0
    count: int = 4
    calibration: int = 32
    size: tuple[int, int, int] | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    predictors: str = NONE
    relu6: Relu6 = "exact"
    name: str = ""
    note: str = ""
    untrained: bool = False
    check: bool = True
    activations: bool = False
    values: bool = False
    pruning: Pruning | None = None
    labels: Path | None = None
    runtime: bool = False
    command: str = ""


def export_known(request: Request, out: Path, *, plain: bool = False) -> tuple[Workload, str]:
    """Export a trained network of ours with images of its test split to a workload file.

    Returns workload and digest.
    """
    from archonsim.export.exporter import export_network, test_images

    if request.checkpoint is None:
        raise WorkloadError(
            f"--network {request.network} needs --checkpoint, e.g. pred.pt of workloads.train"
        )
    dataset = network(request.network).provenance.dataset
    images = test_images(dataset, request.images, request.count, request.first)
    workload = export_network(
        request.network,
        request.checkpoint,
        images,
        command=request.command,
        check=request.check,
        activations=request.activations,
    )
    return workload, write_workload(out, workload, workload.trace, plain=plain)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Opened:
    """A user's network, traced and examined, with the images to store and to calibrate on.

    Attributes
    ----------
    request : Request
    examined : Examined
    stored, fitted : Images or None
    right : Right or None
        Of labelled images.
    """

    request: Request
    examined: Examined
    stored: Images | None
    fitted: Images | None
    right: Right | None = None

    @property
    def steps(self) -> int:
        """How often :meth:`write` calls ``on_step``."""
        blocks = sum(one.fusable for one in self.examined.candidates)
        images = 0 if self.stored is None else len(self.stored)
        checked = len(self.examined.layers) if self.request.check else 0
        return checked + blocks * (images + (self.request.predictors != NONE))

    @property
    def _note(self) -> str:
        """The user's note; of a pruned network also that, and what it was able to before."""
        pruning, right = self.request.pruning, self.right
        pruned = "" if pruning is None else pruning.text()
        if pruned and right is not None:
            pruned += f"; {100 * right.before / right.images:.2f} % right before"
        return "; ".join(filter(None, (self.request.note, pruned)))

    def write(
        self, out: Path, *, plain: bool, on_step: Callable[[str], None]
    ) -> tuple[Workload, str]:
        """Export it to a workload file; returns workload and digest."""
        request = self.request
        workload = export_source(
            self.examined,
            self.stored,
            ExportOptions(
                name=request.name,
                predictors=request.predictors,
                note=self._note,
                untrained=request.untrained,
                accuracy=(self.right.after, self.right.images) if self.right else None,
                command=request.command,
                check=request.check,
                activations=request.activations,
                values=request.values,
            ),
            calibration=self.fitted,
            on_step=on_step,
        )
        return workload, write_workload(out, workload, workload.trace, plain=plain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """How many of some labelled images a network classifies right, before and after pruning."""

    before: int
    after: int
    images: int


def compared(opened: Opened) -> str:
    """Say how a model file's outputs differ from those of its own runtime."""
    request = opened.request
    if request.model is None:
        raise WorkloadError("--runtime compares a --model file with its own runtime; there is none")
    source = opened.examined.source
    pixels = source.image if opened.stored is None else opened.stored.pixels
    suffix = request.suffix or request.model.suffix.lower()
    return compare_with_runtime(request.model, suffix, source.graph, source.runner, pixels).text()


def open_request(request: Request, on_step: Callable[[str], None] = lambda name: None) -> Opened:
    """Trace and examine a network, prune it where that is asked for, and count what it gets right.

    Parameters
    ----------
    request : Request
    on_step : function of a name
        Called for each layer that was pruned, and for each labelled image.
    """
    check_name(request.predictors)
    stored, fitted = _load(request)
    image = stored.pixels[:1] if stored is not None else _noise(request)
    source = _source(request, image)
    examined = examine(source, stored, pruning=request.pruning, calibration=fitted, on_step=on_step)
    right = None
    if request.labels is not None:
        right = _right(request, source, examined.source, on_step)
    return Opened(request=request, examined=examined, stored=stored, fitted=fitted, right=right)


def _right(
    request: Request, before: Source, after: Source, on_step: Callable[[str], None]
) -> Right:
    """Count over all labelled images that nothing was calibrated on."""
    assert request.labels is not None
    if request.images is None:
        raise WorkloadError(f"--labels {request.labels}: there are no images; give --images")
    labels = read_labels(request.labels)
    used = request.first + request.count
    calibrated = range(used, used + _calibration(request))
    numbers = [number for number in range(len(labels)) if number not in calibrated]
    if not numbers:
        raise WorkloadError(
            f"--labels {request.labels}: all {len(labels)} images are calibrated on; label more"
        )
    sources = [before] if after is before else [before, after]
    found = [0] * len(sources)
    for start in range(0, len(labels), _AT_ONCE):
        count = min(_AT_ONCE, len(labels) - start)
        images = load_images(request.images, start, count, request.preprocessing)
        for number, image in zip(images.indices, images.pixels, strict=True):
            if number in calibrated:
                continue
            for place, source in enumerate(sources):
                label = int(labels[number])
                found[place] += classifies(source.graph, source.runner, image, label)
            on_step(f"image {number}")
    return Right(before=found[0], after=found[-1], images=len(numbers))


def _calibration(request: Request) -> int:
    """How many images predictors are fitted to, or normalisations estimated on."""
    wanted = request.predictors != NONE or request.pruning is not None
    return request.calibration if wanted else 0


def _load(request: Request) -> tuple[Images | None, Images | None]:
    if request.images is None:
        return None, None
    extra = _calibration(request)
    images = load_images(
        request.images, request.first, request.count + extra, request.preprocessing
    )
    return images.part(0, request.count), images.part(request.count, request.count + extra)


def _noise(request: Request) -> Floats:
    """Return noise of the size that the network takes: on zeros, many operators do nothing."""
    size = request.size
    if size is None and request.model is not None:
        size = model_kind(request.model, request.suffix).size(request.model)
    if size is None and request.network:
        first = next(network(request.network).layers())
        size = (first.in_channels, first.in_h, first.in_w)
    if size is None:
        raise WorkloadError(
            "the size of the images is not known: give --images, or --input CxHxW for weights alone"
        )
    return np.random.default_rng(0).standard_normal((1, *size), np.float32)


def _source(request: Request, image: Floats) -> Source:
    if request.model is not None:
        kind = model_kind(request.model, request.suffix)
        return kind.source(request.model, image, request.relu6)
    if request.network:
        from archonsim.zoo.network import build

        return module_source(build(request.network), image, request.network, request.relu6)
    module = make_module(request.module)
    label = request.module
    if request.checkpoint is not None:
        load_checkpoint(module, request.checkpoint)
        label += f" with {request.checkpoint.name}"
    return module_source(module, image, label, request.relu6)
