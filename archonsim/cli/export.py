"""``archonsim export``: from a trained network, ours or anybody's, to a workload file."""

from __future__ import annotations

import re
import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from archonsim.cli.common import PLAIN_HELP, Format, emit
from archonsim.cli.export_report import content, doing, report_hits, report_right
from archonsim.cli.forecast import DryRun, Memory, told
from archonsim.cli.progress import StepProgress, stderr
from archonsim.errors import UserError
from archonsim.network.layer import Layer
from archonsim.network.networks import find_network
from archonsim.result.files import to_json
from archonsim.runs.forecast import forecast_export, parse_memory
from archonsim.show.terminal.export_list import listing_csv, render_listing

if TYPE_CHECKING:
    from archonsim.export.command import Request
    from archonsim.export.prune import Pruning

_YOURS = "Not with --network."
_ONLY_YOURS = (
    "--input",
    "--resize",
    "--mean",
    "--std",
    "--predictors",
    "--calibration",
    "--values",
    "--runtime",
    "--relu6",
    "--prune",
    "--prune-by",
    "--labels",
    "--name",
    "--note",
    "--untrained",
)
_WEIGHTS = (".pth", ".pt")
_CHECKPOINT = "Trained weights: a state dict; for --network what workloads/train.py leaves."
_NO_CHECK = "Write it without comparing each layer and block with the network on one image."
_MODEL = ".onnx, .tflite, .h5 or .keras (Keras), .pt2; .pth or .pt with --module."
_IMAGES = "Folder of pictures, .npy of (N, C, H, W), or folder with CIFAR; the digits need none."


class Limits(NamedTuple):
    """What an export may take, and whether it is only forecast, in which format."""

    dry_run: bool
    memory: int
    form: Format


class PruneBy(StrEnum):
    """How weights are chosen, and what is done to those that stay."""

    magnitude = "magnitude"
    least_squares = "least-squares"


class Relu6(StrEnum):
    """What to do about ReLU6."""

    exact = "exact"
    relu = "relu"


def export(
    context: typer.Context,
    network: Annotated[
        str, typer.Option("--network", "-n", help="A network of ours by name, e.g. fusionet_c10.")
    ] = "",
    module: Annotated[
        str, typer.Option(help="Your PyTorch network: PACKAGE.MODULE:FUNCTION, which returns it.")
    ] = "",
    model: Annotated[
        Path | None, typer.Option("--model", help=f"Your network's file: {_MODEL}")
    ] = None,
    onnx: Annotated[
        Path | None, typer.Option(help="An ONNX file, whatever its suffix (--model).")
    ] = None,
    checkpoint: Annotated[Path | None, typer.Option("--checkpoint", "-c", help=_CHECKPOINT)] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The workload file to write.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help=_IMAGES)] = None,
    count: Annotated[int, typer.Option(min=1, help="Images whose masks are stored.")] = 4,
    first: Annotated[int, typer.Option(min=0, help="Number of the first of them.")] = 0,
    input_: Annotated[
        str,
        typer.Option(
            "--input",
            metavar="CxHxW",
            help=f"Size of an image, without any: weights alone. {_YOURS}",
        ),
    ] = "",
    resize: Annotated[
        str, typer.Option(metavar="HxW", help=f"Resize pictures, bilinear. {_YOURS}")
    ] = "",
    mean: Annotated[
        str,
        typer.Option(
            help=f"Subtracted from pixels (of 8 bits: 0..1), one or one a channel. {_YOURS}"
        ),
    ] = "0",
    std: Annotated[str, typer.Option(help=f"What they are then divided by. {_YOURS}")] = "1",
    predictors: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help=f"none: its own ReLUs; ternary, msb4, snapea, ...: fit some. {_YOURS}",
        ),
    ] = "none",
    calibration: Annotated[
        int,
        typer.Option(min=1, help="Images, behind those stored, to fit to."),
    ] = 32,
    relu6: Annotated[
        Relu6, typer.Option(help=f"exact: masks say what it clips; relu: run ReLUs. {_YOURS}")
    ] = Relu6.exact,
    prune: Annotated[
        str,
        typer.Option(
            metavar="KIND=SHARE,...",
            help=f"Prune first, not retrained: pointwise=0.8,depthwise=0.7, say. {_YOURS}",
        ),
    ] = "",
    prune_by: Annotated[
        PruneBy, typer.Option(help=f"Keep the largest weights, or fit those kept. {_YOURS}")
    ] = PruneBy.magnitude,
    labels: Annotated[
        Path | None,
        typer.Option(help=f"Classes of the images from number 0 on, .npy or text. {_YOURS}"),
    ] = None,
    name: Annotated[str, typer.Option(help=f"Name of the network in the file. {_YOURS}")] = "",
    note: Annotated[str, typer.Option(help=f"Shown wherever the workload is. {_YOURS}")] = "",
    untrained: Annotated[
        bool, typer.Option("--untrained", help=f"Label the weights as untrained. {_YOURS}")
    ] = False,
    activations: Annotated[
        bool,
        typer.Option(
            "--activations",
            help=(
                "Store which inputs of every layer are not zero; with --network, of those outside"
                " of predicted blocks."
            ),
        ),
    ] = False,
    values: Annotated[
        bool,
        typer.Option(
            "--values", help=f"Store what layers before a ReLU read, for snapea. {_YOURS}"
        ),
    ] = False,
    runtime: Annotated[
        bool, typer.Option("--runtime", help="Compare outputs with LiteRT's or onnxruntime's own.")
    ] = False,
    plain: Annotated[bool, typer.Option("--plain", help=PLAIN_HELP)] = False,
    no_check: Annotated[bool, typer.Option("--no-check", help=_NO_CHECK)] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="Write nothing; say block by block why it fuses or not.")
    ] = False,
    dry_run: DryRun = False,
    memory: Memory = None,
    form: Annotated[
        Format, typer.Option("--format", "-f", help="What --list and --dry-run print.")
    ] = Format.table,
) -> None:
    """Run images through a trained network and store masks, maps and weights as a workload."""
    given = _given(context)
    model, checkpoint = _sources(network, module, model, onnx, checkpoint)
    if network and (idle := [option for option in given if option in _ONLY_YOURS]):
        raise UserError(
            f"{idle[0]} is for --model and --module; a network of ours comes with its own"
        )
    asked = Limits(dry_run, parse_memory(memory), form)
    if output is None and not (list_ or dry_run):
        raise UserError("--output is missing: the workload file to write (or --list to only look)")
    try:
        from archonsim.export import command
        from archonsim.export.images import Preprocessing

        pixels = Preprocessing(
            resize=_size(resize, "--resize", 2),
            mean=_numbers(mean, "--mean"),
            std=_numbers(std, "--std"),
        )
        request = command.Request(
            network=network,
            module=module,
            model=model,
            suffix=".onnx" if onnx else "",
            checkpoint=checkpoint,
            images=images,
            first=first,
            count=count,
            calibration=calibration,
            size=_size(input_, "--input", 3),
            preprocessing=pixels,
            predictors=predictors,
            relu6=relu6.value,
            pruning=_pruning(prune, prune_by, given),
            labels=labels,
            name=name,
            note=note,
            untrained=untrained,
            check=not no_check,
            activations=activations,
            values=values,
            runtime=runtime,
            command=_command_line(given),
        )
        _list(request, form) if list_ else _export(request, output or Path(), plain, asked)
    except ModuleNotFoundError as error:
        raise UserError(
            f"archonsim export needs {error.name}, which is not installed: pip install"
            " 'archonsim[train]'"
        ) from error


def _pruning(text: str, by: PruneBy, given: dict[str, Any]) -> Pruning | None:
    """Read ``KIND=SHARE,...``."""
    from archonsim.export.prune import KINDS, Pruning

    if not text:
        if "--prune-by" in given:
            raise UserError("--prune-by says how to prune; add --prune, e.g. pointwise=0.8")
        return None
    shares: dict[str, float] = {}
    for part in text.split(","):
        kind, _, share = (one.strip() for one in part.partition("="))
        try:
            shares[kind] = float(share)
        except ValueError:
            raise UserError(
                f"--prune is {text!r}; write KIND=SHARE,..., e.g. pointwise=0.8,depthwise=0.7;"
                f" kinds are {', '.join(KINDS)}"
            ) from None
    return Pruning(shares=shares, method=by.value)


def _sources(
    network: str, module: str, model: Path | None, onnx: Path | None, checkpoint: Path | None
) -> tuple[Path | None, Path | None]:
    """Return the model file and the checkpoint; of a network or module, a model is its weights."""
    if model and (network or module) and model.suffix.lower() in _WEIGHTS:
        if checkpoint:
            raise UserError(
                f"--checkpoint {checkpoint.name} and --model {model.name} both are weights; give"
                " one of them"
            )
        model, checkpoint = None, model
    if sum(map(bool, (network, module, model, onnx))) != 1:
        raise UserError(
            "give one of --model FILE, --module PACKAGE.MODULE:FUNCTION (with --model FILE.pth for"
            " its weights) and --network NAME"
        )
    if checkpoint and not (network or module):
        raise UserError(
            f"--checkpoint is for --module and --network; {(model or onnx or Path()).name} comes"
            " with its own weights"
        )
    return model or onnx, checkpoint


def _list(request: Request, form: Format) -> None:
    from archonsim.export import command, listing

    with stderr.status("tracing"):
        tree = listing.listing(command.open_request(request).examined)
    emit(form, lambda: render_listing(tree), lambda: to_json(tree), lambda: listing_csv(tree))


def _export(request: Request, output: Path, plain: bool, asked: Limits) -> None:
    from archonsim.export import command

    if request.network:
        known = find_network(request.network)
        if _told(list(known.layers()), request.count, known.name, asked):
            return
        with stderr.status(f"exporting {request.network}"):
            work, digest = command.export_known(request, output, plain=plain)
    else:
        with stderr.status("tracing") as status:
            opened = command.open_request(request, lambda name: status.update(doing(name)))
        images = sum(len(one) for one in (opened.stored, opened.fitted) if one is not None)
        found = [
            one if isinstance(one, Layer) else one.layer for one in opened.examined.layers.values()
        ]
        if _told(found, images, request.name or opened.examined.source.model, asked):
            return
        same = command.compared(opened) if request.runtime else ""
        with StepProgress("export", opened.steps) as progress:
            work, digest = opened.write(output, plain=plain, on_step=progress.step)
        candidates, framework = opened.examined.candidates, opened.examined.source.framework
        fuse = sum(one.fusable for one in candidates)
        stderr.print(
            f"{work.name}, {framework}: {fuse} of {len(candidates)} candidate blocks fuse (--list"
            " says why)"
        )
        if same:
            stderr.print(same)
        report_hits(work)
        if opened.right is not None:
            report_right(opened.right, pruned=request.pruning is not None)
    stderr.print(
        f"wrote {output}: {content(work, ours=bool(request.network))}, digest {digest[:16]}…"
    )


def _told(layers: list[Layer], images: int, name: str, asked: Limits) -> bool:
    """Forecast an export; return whether that is all that is asked."""
    forecast = forecast_export(layers, name, images, asked.memory)
    return told(forecast, asked.form, dry_run=asked.dry_run)


def _size(text: str, option: str, parts: int) -> Any:
    if not text:
        return None
    if not re.fullmatch("x".join([r"[1-9]\d*"] * parts), text):
        raise UserError(
            f"{option} is {text!r}; write"
            f" {'CxHxW, e.g. 3x32x32' if parts == 3 else 'HxW, e.g. 32x32'}"
        )
    return tuple(int(one) for one in text.split("x"))


def _numbers(text: str, option: str) -> tuple[float, ...]:
    try:
        return tuple(float(one) for one in text.split(","))
    except ValueError:
        raise UserError(
            f"{option} is {text!r}; write numbers, e.g. 0.5 or 0.485,0.456,0.406"
        ) from None


def _given(context: typer.Context) -> dict[str, Any]:
    """Return the options that differ from their defaults, by their long names."""
    given = {}
    for parameter in context.command.params:
        value = context.params[parameter.name or ""]
        if value != parameter.get_default(context):
            given[max(parameter.opts, key=len)] = value
    return given


def _command_line(given: dict[str, Any]) -> str:
    """Write the command with base names instead of paths.

    A file must not tell where it was made.
    """
    words = ["archonsim", "export"]
    for option, value in given.items():
        words += (
            [option]
            if value is True
            else [option, (value.name or str(value)) if isinstance(value, Path) else str(value)]
        )
    return shlex.join(words)
