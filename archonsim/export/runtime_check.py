"""What a network makes here, compared with what its own runtime makes of the file as it is.

LiteRT, by its reference kernels, for ``.tflite`` files; onnxruntime, with its optimisations on, for
ONNX files. Outputs are compared first, and where they differ, every value that both name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from archonsim.errors import UserError, WorkloadError
from archonsim.export.graph import Graph, Runner
from archonsim.trace.tensors import Floats

#: Largest difference that passes as another order of sums, relative to a value's largest magnitude
#: (own decision): that of fifty layers, each 2^-16 off.
NEAR: Final = 1e-3
#: Of an image ``(1, C, H, W)`` and names, to the values of those that the runtime knows.
Runtime = Callable[[Floats, Sequence[str]], Mapping[str, Floats]]


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that differs.

    Attributes
    ----------
    label : str
        The layer.
    share : float
        Of its values that differ by more than `NEAR`.
    largest : float
        Largest difference, relative to the largest magnitude.
    """

    label: str
    share: float
    largest: float


@dataclass(frozen=True, slots=True)
class Compared:
    """What was found.

    Attributes
    ----------
    runtime : str
        With its version.
    images, values : int
        How many were compared.
    differences : list of Difference
        In order of execution, of the first image on which an output differs.
    """

    runtime: str
    images: int
    values: int
    differences: list[Difference]

    def text(self) -> str:
        """Say it in a line."""
        if not self.differences:
            return f"outputs equal those of {self.runtime} on {self.images} image(s)"
        first = self.differences[0]
        return (
            f"differs from {self.runtime} in {len(self.differences)} of {self.values} values, first"
            f" {first.label}: {100 * first.share:.2g} % of it, by up to {100 * first.largest:.2g} %"
        )


def compare_with_runtime(
    path: Path, suffix: str, graph: Graph, runner: Runner, images: Floats
) -> Compared:
    """Compare a network's outputs, and layer by layer where they differ.

    Parameters
    ----------
    suffix : str
        What the file is read as.
    images : (N, C, H, W) float32

    Raises
    ------
    UserError
        The runtime is not installed, or there is none for such a file.
    """
    kinds = {".tflite": _litert, ".onnx": _onnxruntime}
    if suffix not in kinds:
        raise UserError(
            f"{path}: --runtime compares {' and '.join(kinds)} files; {suffix or 'others'} have no"
            " runtime here"
        )
    try:
        name, runtime = kinds[suffix](path, graph.outputs)
    except ModuleNotFoundError as error:
        raise UserError(f"--runtime needs {error.name}, which is not installed") from error
    labels = {node.name: node.label for node in graph.nodes if node.op != "input"}
    for number in range(len(images)):
        image = images[number : number + 1]
        if not _differences(image, list(graph.outputs), labels, graph, runner, runtime):
            continue
        wanted = list(labels)
        found = _differences(image, wanted, labels, graph, runner, runtime)
        return Compared(name, number + 1, len(wanted), found)
    return Compared(name, len(images), len(graph.outputs), [])


def _differences(
    image: Floats,
    wanted: list[str],
    labels: Mapping[str, str],
    graph: Graph,
    runner: Runner,
    runtime: Runtime,
) -> list[Difference]:
    theirs = runtime(image, wanted)
    common = [name for name in wanted if name in theirs]
    ours = runner.evaluate({graph.input.name: image}, common)
    found = []
    for name in common:
        one, other = ours[name].reshape(-1), theirs[name].reshape(-1)
        if one.shape != other.shape:
            continue
        size = max(float(np.abs(other).max(initial=0.0)), 1e-6)
        away = np.abs(one - other) / size
        if (away > NEAR).any():
            share = float(np.mean(away > NEAR))
            found.append(Difference(labels[name], share, float(away.max())))
    return found


def _litert(path: Path, outputs: Sequence[str]) -> tuple[str, Runtime]:
    litert: Any = importlib.import_module("ai_edge_litert.interpreter")
    version = importlib.import_module("importlib.metadata").version("ai-edge-litert")
    runner = litert.Interpreter(
        str(path),
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    runner.allocate_tensors()
    (about,) = runner.get_input_details()
    tensors = {f"t{one['index']}": one for one in runner.get_tensor_details()}

    def values(image: Floats, names: Sequence[str]) -> dict[str, Floats]:
        given: Any = image.transpose(0, 2, 3, 1)
        if about["dtype"] != np.float32:
            (scale, zero), limits = about["quantization"], np.iinfo(about["dtype"])
            given = np.clip(np.rint(given / scale) + zero, limits.min, limits.max)
        runner.set_tensor(about["index"], given.astype(about["dtype"]))
        runner.invoke()
        found = {}
        for name in names:
            if name in tensors:
                value = runner.get_tensor(tensors[name]["index"])
                scale, zero = tensors[name]["quantization"]
                real = (value.astype(np.float64) - zero) * scale if scale else value
                real = real.transpose(0, 3, 1, 2) if real.ndim == 4 else real
                found[name] = real.astype(np.float32)
        return found

    return f"LiteRT {version}", values


def _onnxruntime(path: Path, outputs: Sequence[str]) -> tuple[str, Runtime]:
    onnx: Any = importlib.import_module("onnx")
    ort: Any = importlib.import_module("onnxruntime")
    model = onnx.load(path)
    own = [one.name for one in model.graph.output]
    whole = {name: name for node in model.graph.node for name in node.output if name}
    if len(own) == len(outputs):  # of 8 bits, an output is another name of what it rounds
        whole |= dict(zip(outputs, own, strict=True))
    sessions: dict[tuple[str, ...], Any] = {}

    def values(image: Floats, names: Sequence[str]) -> dict[str, Floats]:
        asked = [name for name in names if name in whole]
        known = tuple(dict.fromkeys(whole[name] for name in asked))
        if not known:
            return {}
        if known not in sessions:
            extended = onnx.ModelProto()
            extended.CopyFrom(model)
            extended.graph.output.extend(
                onnx.ValueInfoProto(name=name) for name in known if name not in own
            )
            sessions[known] = ort.InferenceSession(
                extended.SerializeToString(), providers=["CPUExecutionProvider"]
            )
        (given,) = sessions[known].get_inputs()
        if given.type != "tensor(float)" or given.shape[1] not in (image.shape[1], None):
            raise WorkloadError(
                f"{path}: --runtime compares networks that take (1, C, H, W) of float32; this one"
                f" takes {given.shape} of {given.type}"
            )
        made = sessions[known].run(list(known), {given.name: image})
        found = dict(zip(known, made, strict=False))
        return {name: np.asarray(found[whole[name]], np.float32) for name in asked}

    return f"onnxruntime {ort.__version__}", values
