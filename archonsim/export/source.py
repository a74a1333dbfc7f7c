"""What can be exported: a module or a file, traced, with its runner and its name."""

from __future__ import annotations

import hashlib
import importlib
import pickle
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from archonsim.errors import UserError, WorkloadError
from archonsim.export.calls import first_line
from archonsim.export.graph import Graph, Runner, simplify
from archonsim.export.tokens import tokens_as_pixels
from archonsim.trace.tensors import Floats

if TYPE_CHECKING:
    from torch import Tensor, nn

#: What to do about ReLU6: keep it (masks say what it clips), or run ReLUs in its place.
Relu6 = Literal["exact", "relu"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """A traced network.

    Attributes
    ----------
    graph : Graph
        Simplified.
    runner : Runner
    image : (1, C, H, W) float32
        What it was traced on.
    params : int
        Parameters that the network owns, each once: of a module all that it registers, of an ONNX
        file the constants that convolutions, normalisations and the like read.
    model, sha256, framework : str
        As in :class:`~archonsim.network.workload.Provenance`.
    norm_params : int
        Parameters of a normalisation for each channel, as the framework counts them.
    """

    graph: Graph
    runner: Runner
    image: Floats
    params: int
    model: str
    sha256: str
    framework: str
    norm_params: int = 2


def module_source(module: nn.Module, image: Floats, model: str, relu6: Relu6 = "exact") -> Source:
    """Trace a PyTorch module on one image ``(1, C, H, W)``."""
    import torch

    from archonsim.export.torch_graph import trace_module

    graph, runner, tracer = trace_module(module, image, relu6_as_relu=relu6 == "relu")
    seen, run = tokens_as_pixels(graph, runner)
    return Source(
        graph=simplify(seen, run),
        runner=run,
        image=image,
        params=sum(one.numel() for one in module.parameters()),
        model=model,
        sha256=state_sha256(module.state_dict()),
        framework=f"torch {torch.__version__}, traced by {tracer}",
    )


def onnx_source(path: Path, image: Floats, relu6: Relu6 = "exact") -> Source:
    """Trace an ONNX file on one image ``(1, C, H, W)``."""
    onnx_graph = _onnx_graph()
    model = onnx_graph.read_onnx(path)
    graph, runner = onnx_graph.trace_onnx(model, path, image, relu6_as_relu=relu6 == "relu")
    versions = (importlib.import_module(name).__version__ for name in ("onnxruntime", "onnx"))
    seen, run = tokens_as_pixels(graph, runner)
    return Source(
        graph=simplify(seen, run),
        runner=run,
        image=image,
        params=onnx_graph.parameters(onnx_graph.prepare(model, path).model),
        model=path.name,
        sha256=onnx_graph.file_sha256(model, path),
        framework="onnxruntime {}, onnx {}".format(*versions),
    )


def onnx_input(path: Path) -> tuple[int, int, int] | None:
    """Return (C, H, W) of an ONNX file's image, if the file says it."""
    onnx_graph = _onnx_graph()
    model = onnx_graph.prepare(onnx_graph.read_onnx(path), path).model
    _, size = onnx_graph.input_size(model, path)
    return None if None in size[1:] else size[1:]


def _onnx_graph() -> Any:
    try:
        return importlib.import_module("archonsim.export.onnx_graph")
    except ModuleNotFoundError as error:
        raise UserError(
            f"an ONNX file needs onnx and onnxruntime, and {error.name} is not installed: pip"
            " install 'archonsim[onnx]'"
        ) from error


def state_sha256(state: Mapping[str, Tensor]) -> str:
    """Return the digest of a module's parameters and buffers.

    Names, types, shapes and values, in order of names.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        array = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {list(array.shape)}\n".encode())
        digest.update(array.numpy().tobytes())
    return digest.hexdigest()


def make_module(name: str) -> nn.Module:
    """Call the factory ``package.module:function``, or take the module that stands there.

    Raises
    ------
    WorkloadError
        It cannot be imported, fails, or makes something else.
    """
    from torch import nn

    place, colon, attribute = name.partition(":")
    if not (place and colon and attribute):
        raise WorkloadError(
            f"--module is {name!r}; write PACKAGE.MODULE:FUNCTION, a function without arguments"
            " that returns a module"
        )
    if "" not in sys.path:
        sys.path.insert(0, "")  # the folder in which the command runs
    try:
        made = getattr(importlib.import_module(place), attribute)
        made = made if isinstance(made, nn.Module) else made()
    except (
        Exception,
        SystemExit,
    ) as error:  # a script that is imported may read its own command line, and leave
        raise WorkloadError(
            f"--module {name}: {type(error).__name__}: {first_line(error)}"
        ) from error
    if not isinstance(made, nn.Module):
        raise WorkloadError(
            f"--module {name}: returns {type(made).__name__}; it must return a torch.nn.Module"
        )
    return made


def load_checkpoint(module: nn.Module, path: Path) -> None:
    """Load a state dict into a module.

    It is alone, or under ``state_dict``, ``model`` or ``model_state_dict``.

    Raises
    ------
    WorkloadError
        The file is no checkpoint, or lacks or has keys that the module has not or lacks.
    """
    import torch

    if not path.is_file():
        raise WorkloadError(f"{path}: no such file; it must be a checkpoint that torch.save wrote")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, pickle.UnpicklingError) as error:
        raise WorkloadError(f"{path}: not a checkpoint of tensors: {first_line(error)}") from error
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(
        isinstance(one, torch.Tensor) for one in content.values()
    ):
        raise WorkloadError(
            f"{path}: holds {type(content).__name__}, no state dict; save module.state_dict()"
        )
    load_state(module, content, path)


def load_state(module: nn.Module, content: Mapping[str, Tensor], path: Path) -> None:
    """Load the tensors of a checkpoint into a module.

    Raises
    ------
    WorkloadError
        Some are missing, unexpected or of another shape: the first three of each are named.
    """
    own = module.state_dict()
    wrong = {
        "missing": [name for name in own if name not in content],
        "unexpected": [name for name in content if name not in own],
        "of another shape": [
            name for name in own if name in content and content[name].shape != own[name].shape
        ],
    }
    differences = [
        f"{what} {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
        for what, names in wrong.items()
        if names
    ]
    if differences:
        raise WorkloadError(
            f"{path}: does not fit {type(module).__name__}: {'; '.join(differences)}"
        )
    module.load_state_dict(content)
