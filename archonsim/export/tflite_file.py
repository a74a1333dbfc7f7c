"""``.tflite`` files as plain tensors and operators: a flatbuffer, trusted in nothing.

Offsets and counts in a flatbuffer may be any number. Counts are compared with the file's size
before anything is read as often as they say, shapes with the bytes that are there and with
`LARGEST_MAP`; what points outside the file raises in the accessors, which is one clear line here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import tflite
from numpy.typing import NDArray

from archonsim.errors import WorkloadError
from archonsim.export.program import LARGEST_MAP
from archonsim.user_files import check_regular

Array = NDArray[Any]
#: Bytes of the largest file that is read (own decision).
LARGEST_FILE: Final = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tensor:
    """A tensor of the file.

    Attributes
    ----------
    index : int
    name, type : str
        The type as numpy has it.
    shape : tuple of int
    scales, zeros : array
        Of its integers, one or one for each channel; none of a tensor that is not quantised.
    axis : int
        Of the channels.
    data : array or None
        As stored; None for what is computed.
    """

    index: int
    name: str
    type: str
    shape: tuple[int, ...]
    scales: NDArray[np.float32]
    zeros: NDArray[np.int64]
    axis: int
    data: Array | None

    @property
    def is_quantised(self) -> bool:
        """Whether its integers stand for real numbers."""
        return self.type in ("int8", "uint8") and bool(self.scales.size)

    @property
    def is_real(self) -> bool:
        """Whether it holds real numbers, quantised or not: no sizes or indices."""
        return self.is_quantised or self.type in ("float32", "float16")

    def whole(self) -> NDArray[np.int64]:
        """Return the constant's integers less its zero points."""
        assert self.data is not None
        return self.data.astype(np.int64) - self._by_channel(self.zeros)

    def real(self) -> NDArray[np.float32]:
        """Return the constant's real values."""
        assert self.data is not None
        if not self.scales.size:
            return self.data.astype(np.float32)
        values = self.whole() * self._by_channel(self.scales).astype(np.float64)
        return values.astype(np.float32)

    def _by_channel(self, numbers: Array) -> Array:
        if numbers.size <= 1:
            return numbers.reshape(-1)[0] if numbers.size else np.zeros((), np.int64)
        shape = [1] * len(self.shape)
        shape[self.axis] = -1
        return numbers.reshape(shape)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operator:
    """One call of an operator.

    Attributes
    ----------
    name : str
        As the schema spells it, e.g. ``"CONV_2D"``; of a custom one its own.
    options : mapping of str to number
    inputs : tuple of Tensor or None
        None where an input is left out.
    outputs : tuple of Tensor
    """

    name: str
    options: Mapping[str, Any]
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """What a file holds.

    Attributes
    ----------
    operators : tuple of Operator
    inputs, outputs : tuple of Tensor
    """

    operators: tuple[Operator, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


_TYPES: Final = {
    tflite.TensorType.FLOAT32: "float32",
    tflite.TensorType.FLOAT16: "float16",
    tflite.TensorType.INT32: "int32",
    tflite.TensorType.UINT8: "uint8",
    tflite.TensorType.INT64: "int64",
    tflite.TensorType.INT8: "int8",
    tflite.TensorType.INT16: "int16",
    tflite.TensorType.BOOL: "bool",
}
_NAMES: Final = {
    number: name for name, number in vars(tflite.BuiltinOperator).items() if isinstance(number, int)
}
_ACTIVATIONS: Final = {0: "none", 1: "relu", 2: "relu_n1_to_1", 3: "relu6", 4: "tanh", 5: "sign"}
_PADDINGS: Final = {0: "same", 1: "valid"}
_WINDOW: Final = ("StrideH", "StrideW", "Padding", "FusedActivationFunction")
_DILATED: Final = (*_WINDOW, "DilationHFactor", "DilationWFactor")
_POOL: Final = (*_WINDOW, "FilterHeight", "FilterWidth")
#: Tables of options, and the fields of each that are read.
_OPTIONS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "CONV_2D": ("Conv2DOptions", _DILATED),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", _DILATED),
    "TRANSPOSE_CONV": ("TransposeConvOptions", _WINDOW),
    "FULLY_CONNECTED": ("FullyConnectedOptions", ("FusedActivationFunction", "WeightsFormat")),
    "AVERAGE_POOL_2D": ("Pool2DOptions", _POOL),
    "MAX_POOL_2D": ("Pool2DOptions", _POOL),
    "ADD": ("AddOptions", ("FusedActivationFunction",)),
    "SUB": ("SubOptions", ("FusedActivationFunction",)),
    "MUL": ("MulOptions", ("FusedActivationFunction",)),
    "DIV": ("DivOptions", ("FusedActivationFunction",)),
    "CONCATENATION": ("ConcatenationOptions", ("Axis", "FusedActivationFunction")),
    "SOFTMAX": ("SoftmaxOptions", ("Beta",)),
    "RESIZE_BILINEAR": ("ResizeBilinearOptions", ("AlignCorners", "HalfPixelCenters")),
    "RESIZE_NEAREST_NEIGHBOR": (
        "ResizeNearestNeighborOptions", ("AlignCorners", "HalfPixelCenters"),
    ),
    "LEAKY_RELU": ("LeakyReluOptions", ("Alpha",)),
    "MEAN": ("ReducerOptions", ("KeepDims",)),
}  # fmt: skip
_WORDS: Final[dict[str, tuple[str, Mapping[int, str]]]] = {
    "FusedActivationFunction": ("activation", _ACTIVATIONS),
    "Padding": ("padding", _PADDINGS),
}


class _RefusedError(Exception):
    """Says what is wrong with a file."""


def read_tflite(path: Path) -> Model:
    """Read a ``.tflite`` file and check it.

    Raises
    ------
    WorkloadError
        It is missing, too large, truncated or no such file; it holds several graphs, a tensor of
        a type that is not read, or a weight that is not finite.
    """
    size = check_regular(path, WorkloadError, "it must be a .tflite file")
    if size > LARGEST_FILE:
        raise WorkloadError(f"{path}: has {size} bytes; files of up to {LARGEST_FILE} are read")
    content = path.read_bytes()
    if content[4:8] != b"TFL3":
        raise WorkloadError(f"{path}: not a .tflite file: bytes 4 to 8 must be 'TFL3'")
    try:
        return _Reader(content).model()
    except _RefusedError as error:
        raise WorkloadError(f"{path}: {error}") from error
    except Exception as error:  # what points anywhere raises almost anything
        raise WorkloadError(
            f"{path}: not a whole .tflite file: a table or offset in it points outside of it"
            f" ({type(error).__name__})"
        ) from error


class _Reader:
    """Reads one file."""

    def __init__(self, content: bytes) -> None:
        self._size = len(content)
        self._model = tflite.Model.GetRootAsModel(content, 0)

    def model(self) -> Model:
        """Return the file's one graph."""
        graphs = self._count(self._model.SubgraphsLength(), "graphs")
        if graphs != 1:
            raise _RefusedError(f"holds {graphs} graphs; it must hold one")
        graph = self._model.Subgraphs(0)
        count = self._count(graph.TensorsLength(), "tensors")
        tensors = [self._tensor(graph.Tensors(at), at) for at in range(count)]
        kinds = [
            self._operator_name(self._model.OperatorCodes(at))
            for at in range(self._count(self._model.OperatorCodesLength(), "kinds of operators"))
        ]
        calls = self._count(graph.OperatorsLength(), "operators")
        operators = tuple(
            self._operator(graph.Operators(at), kinds, tensors) for at in range(calls)
        )
        inputs = self._chosen(graph.InputsLength(), graph.Inputs, tensors)
        outputs = self._chosen(graph.OutputsLength(), graph.Outputs, tensors)
        return Model(operators=operators, inputs=_all(inputs), outputs=_all(outputs))

    def _count(self, claimed: int, what: str) -> int:
        """Return a count; each entry takes at least four bytes of the file."""
        if 4 * claimed > self._size:
            raise _RefusedError(f"claims {claimed} {what} and has {self._size} bytes")
        return claimed

    def _chosen(
        self, count: int, at: Callable[[int], int], tensors: list[Tensor]
    ) -> Iterator[Tensor | None]:
        for place in range(self._count(count, "tensors of an operator")):
            index = int(at(place))
            if not -1 <= index < len(tensors):
                raise _RefusedError(f"names tensor {index} and has {len(tensors)}")
            yield None if index < 0 else tensors[index]

    def _tensor(self, table: Any, index: int) -> Tensor:
        name = (table.Name() or b"").decode("utf-8", "replace")[:200] or f"tensor {index}"
        kind = _TYPES.get(table.Type())
        if kind is None:
            raise _RefusedError(
                f"{name}: tensors of type {table.Type()} are not read; types are"
                f" {', '.join(_TYPES.values())}"
            )
        if table.Sparsity() is not None:
            raise _RefusedError(f"{name}: sparse tensors are not read; store it dense")
        rank = self._count(table.ShapeLength(), "axes")
        shape = tuple(int(size) for size in table.ShapeAsNumpy()) if rank else ()
        if rank > 8 or any(size < 0 for size in shape) or math.prod(shape) > LARGEST_MAP:
            raise _RefusedError(
                f"{name}: shape is {shape}; it must have up to 8 axes and {LARGEST_MAP} values"
            )
        scales, zeros, axis = self._quantisation(table.Quantization(), name, shape, kind)
        return Tensor(
            index=index,
            name=name,
            type=kind,
            shape=shape,
            scales=scales,
            zeros=zeros,
            axis=axis,
            data=self._constant(table.Buffer(), name, shape, kind),
        )

    def _quantisation(
        self, table: Any, name: str, shape: tuple[int, ...], kind: str
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
        count = 0 if table is None else self._count(table.ScaleLength(), "scales")
        if count == 0 or kind not in ("int8", "uint8"):  # a sum's scale follows from its terms
            return np.zeros(0, np.float32), np.zeros(0, np.int64), 0
        scales = np.array(table.ScaleAsNumpy(), np.float32)
        points = self._count(table.ZeroPointLength(), "zero points")
        zeros = np.array(table.ZeroPointAsNumpy() if points else [], np.int64)
        zeros = np.zeros(count, np.int64) if points == 0 else np.broadcast_to(zeros, (count,))
        axis = table.QuantizedDimension()
        limits = np.iinfo(kind)
        if not (np.isfinite(scales) & (scales != 0)).all():
            raise _RefusedError(f"{name}: a scale is 0 or not finite")
        if (zeros < limits.min).any() or (zeros > limits.max).any():
            raise _RefusedError(f"{name}: a zero point is outside of {limits.min}..{limits.max}")
        if count > 1 and not (0 <= axis < len(shape) and shape[axis] == count):
            raise _RefusedError(f"{name}: has {count} scales along axis {axis} of shape {shape}")
        return scales, zeros, axis

    def _constant(self, index: int, name: str, shape: tuple[int, ...], kind: str) -> Array | None:
        if not 0 <= index < self._count(self._model.BuffersLength(), "buffers"):
            raise _RefusedError(f"{name}: names buffer {index}, which is not there")
        buffer = self._model.Buffers(index)
        if index == 0 or buffer.DataLength() == 0:
            return None
        content = buffer.DataAsNumpy()
        wanted = math.prod(shape) * np.dtype(kind).itemsize
        if content.nbytes != wanted:
            raise _RefusedError(f"{name}: has {content.nbytes} bytes; shape {shape} takes {wanted}")
        data: Array = np.frombuffer(content.tobytes(), kind).reshape(shape)
        if data.dtype.kind == "f" and not np.isfinite(data).all():
            place = tuple(int(axis[0]) for axis in np.nonzero(~np.isfinite(data)))
            raise _RefusedError(f"{name}: value at {place} is {data[place]}; all must be finite")
        return data

    def _operator_name(self, table: Any) -> str:
        number = max(table.BuiltinCode(), table.DeprecatedBuiltinCode())
        if number == tflite.BuiltinOperator.CUSTOM:
            return str((table.CustomCode() or b"CUSTOM").decode("utf-8", "replace")[:100])
        return str(_NAMES.get(number, f"operator {number}"))

    def _operator(self, table: Any, kinds: list[str], tensors: list[Tensor]) -> Operator:
        index = table.OpcodeIndex()
        if not 0 <= index < len(kinds):
            raise _RefusedError(f"an operator is of kind {index}; there are {len(kinds)}")
        inputs = tuple(self._chosen(table.InputsLength(), table.Inputs, tensors))
        outputs = self._chosen(table.OutputsLength(), table.Outputs, tensors)
        return Operator(
            name=kinds[index],
            options=self._options(kinds[index], table.BuiltinOptions()),
            inputs=inputs,
            outputs=_all(outputs),
        )

    def _options(self, kind: str, union: Any) -> dict[str, Any]:
        if kind not in _OPTIONS:
            return {}
        name, fields = _OPTIONS[kind]
        if union is None:
            # Without a stride or an axis there is no such operator; other options have defaults.
            if {"StrideH", "Axis"} & set(fields):
                raise _RefusedError(f"{kind}: its options are left out")
            return {"activation": "none"}
        table = getattr(tflite, name)()
        table.Init(union.Bytes, union.Pos)
        found: dict[str, Any] = {}
        for one in fields:
            # A schema that is older lacks the newer fields of a table.
            value = getattr(table, one)() if hasattr(table, one) else 0
            key, words = _WORDS.get(one, (one, None))
            if words is not None and value not in words:
                raise _RefusedError(f"{kind}: {key} is {value}; it must be one of {tuple(words)}")
            found[key] = value if words is None else words[value]
        return {"activation": "none"} | found


def _all(tensors: Iterator[Tensor | None]) -> tuple[Tensor, ...]:
    """Return tensors of which none may be left out."""
    found = tuple(tensors)
    whole = tuple(one for one in found if one is not None)
    if len(whole) != len(found):
        raise _RefusedError("an output is left out; all must be there")
    return whole
