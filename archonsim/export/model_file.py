"""Networks in files of their own: which reader a file needs, and what it says of its image."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import h5py
import numpy as np

from archonsim.errors import UserError, WorkloadError
from archonsim.export.calls import first_line
from archonsim.export.graph import simplify
from archonsim.export.keras_graph import keras_program
from archonsim.export.program import Program, trace_program
from archonsim.export.source import Relu6, Source, module_source, onnx_input, onnx_source
from archonsim.export.tokens import tokens_as_pixels
from archonsim.trace.tensors import Floats
from archonsim.user_files import check_regular
from archonsim.version import __version__
from archonsim.visible import one_line

if TYPE_CHECKING:
    from torch import nn

Size = tuple[int, int, int]
P = ParamSpec("P")
Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of model file.

    Attributes
    ----------
    title : str
        As errors name it.
    source : function
        Of the path, an image ``(1, C, H, W)`` and what to do about ReLU6.
    size : function
        Of the path: (C, H, W) of the network's image, or None where the file leaves it open.
    """

    title: str
    source: Callable[[Path, Floats, Relu6], Source]
    size: Callable[[Path], Size | None]


def model_kind(path: Path, suffix: str = "") -> Kind:
    """Return the kind of a file by its suffix.

    Parameters
    ----------
    suffix : str, optional
        Taken instead of the file's own.

    Raises
    ------
    WorkloadError
        No reader takes such files, or there is no such file.
    """
    suffix = suffix or path.suffix.lower()
    if suffix in STATE_DICTS:
        raise WorkloadError(
            f"{path}: a {suffix} file holds weights without their network; add --module"
            " PACKAGE.MODULE:FUNCTION, which returns it"
        )
    if suffix not in _KINDS:
        raise WorkloadError(
            f"{path}: a model file ends in {', '.join(_KINDS)}, or in {' or '.join(STATE_DICTS)}"
            f" (weights of a --module), not in {suffix or 'a name without a suffix'}"
        )
    kind = _KINDS[suffix]
    check_regular(path, WorkloadError, f"it must be {kind.title}")
    return replace(kind, source=_in_one_line(kind.source), size=_in_one_line(kind.size))


def _in_one_line(read: Callable[P, Read]) -> Callable[P, Read]:
    """Return a reader whose errors are one line, whatever a file's names hold."""

    def reading(*args: P.args, **kwargs: P.kwargs) -> Read:
        try:
            return read(*args, **kwargs)
        except WorkloadError as error:
            raise WorkloadError(one_line(str(error))) from error

    return reading


def _exported_program(path: Path) -> tuple[nn.Module, Size | None]:
    """Return what ``torch.export.save`` wrote as a module, and the size of its image."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PyTorch's own deprecated parts
            program: Any = torch.export.load(path)
            module: nn.Module = program.module()
        name = program.graph_signature.user_inputs[0]
        shapes = {
            node.name: node.meta["val"].shape
            for node in program.graph.nodes
            if node.op == "placeholder" and hasattr(node.meta.get("val"), "shape")
        }
        size = shapes[name][1:]
    except ModuleNotFoundError:
        raise
    except Exception as error:
        raise WorkloadError(
            f"{path}: not a program that torch.export.save wrote: {first_line(error)}"
        ) from error
    fixed = len(size) == 3 and all(isinstance(one, int) for one in size)
    return module, (int(size[0]), int(size[1]), int(size[2])) if fixed else None


def _program_source(path: Path, image: Floats, relu6: Relu6) -> Source:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = module_source(_exported_program(path)[0], image, path.name, relu6)
    return replace(found, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def _tflite_graph() -> Any:
    return _needing("archonsim.export.tflite_graph", "a .tflite file", "tflite")


def _needing(room: str, what: str, extra: str) -> Any:
    """Import what reads a kind of file, whose libraries may not be installed."""
    try:
        return importlib.import_module(room)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{what} needs {error.name}, which is not installed: pip install 'archonsim[{extra}]'"
        ) from error


def program_source(program: Program, path: Path, image: Floats, framework: str) -> Source:
    """Trace a program that a reader made of a file, on one image ``(1, C, H, W)``."""
    graph, runner = trace_program(program, image, str(path))
    seen, run = tokens_as_pixels(graph, runner)
    return Source(
        graph=simplify(seen, run),
        runner=run,
        image=image,
        params=program.params,
        model=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        framework=f"archonsim {__version__} (numpy {np.__version__}), {framework}",
    )


def _tflite_source(path: Path, image: Floats, relu6: Relu6) -> Source:
    program = _tflite_graph().tflite_program(path, relu6_as_relu=relu6 == "relu")
    version = importlib.metadata.version("tflite")
    return program_source(program, path, image, f"tflite {version}")


def _tflite_size(path: Path) -> Size | None:
    size: Size | None = _tflite_graph().tflite_program(path).size
    return size


def _keras_source(path: Path, image: Floats, relu6: Relu6) -> Source:
    program = keras_program(path, relu6_as_relu=relu6 == "relu")
    found = program_source(program, path, image, f"h5py {h5py.__version__}")
    return replace(found, norm_params=4)  # Keras counts mean and variance, too


def _keras_size(path: Path) -> Size | None:
    return keras_program(path).size


#: Files of weights alone.
STATE_DICTS: Final = (".pth", ".pt")
_KINDS: Final = {
    ".onnx": Kind("an ONNX file", onnx_source, onnx_input),
    ".pt2": Kind(
        "a program of torch.export", _program_source, lambda path: _exported_program(path)[1]
    ),
    ".tflite": Kind("a .tflite file", _tflite_source, _tflite_size),
    ".h5": Kind("a Keras model", _keras_source, _keras_size),
    ".hdf5": Kind("a Keras model", _keras_source, _keras_size),
    ".keras": Kind("a Keras model", _keras_source, _keras_size),
}
