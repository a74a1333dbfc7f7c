"""Every operator of a ``.tflite`` file that is run here: LiteRT's values, 8-bit ones to the bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("tflite", reason="tflite is not installed (extra 'tflite')")

from archonsim.errors import WorkloadError
from archonsim.export.program import ProgramRunner
from archonsim.export.tflite_graph import tflite_program
from archonsim.export.tflite_operators import HANDLERS
from tests.export.test_tflite import assert_equal_to_runtime, runtime_values, saved
from tests.export.tflite_files import RELU, RELU6, SAME, VALID, File, Spec

IMAGE = np.random.default_rng(11).standard_normal((1, 4, 9, 9)).astype(np.float32)
KINDS = ("float32", "int8", "uint8")
Numbers = Sequence[int]


def values(shape: Numbers, kind: str, scale: float = 0.05, zero: int = 9) -> Spec:
    """A map; `zero` is that of int8, uint8's is 128 above."""
    if kind == "float32":
        return Spec(shape=shape)
    zero += 128 * (kind == "uint8")
    return Spec(shape=shape, type=kind, scales=[scale], zeros=[zero])


def fixed(shape: Numbers, kind: str) -> Spec:
    """Constant values of either sign, none of them 0."""
    whole = np.random.default_rng(2).permutation(np.r_[-60:-20, 20:60])[: np.prod(shape)]
    whole = whole.reshape(shape)
    if kind == "float32":
        return Spec(shape=shape, data=(whole / 30).astype(np.float32))
    zero = 128 * (kind == "uint8")
    return Spec(
        shape=shape, type=kind, scales=[0.04], zeros=[zero], data=(whole + zero).astype(kind)
    )


def integers(numbers: Any) -> Spec:
    data = np.asarray(numbers, np.int32)
    return Spec(shape=data.shape, type="int32", data=data)


def one(
    name: str,
    kind: str,
    out: Spec,
    *,
    options: tuple[str, Mapping[str, Any]] | None = None,
    constants: Sequence[Spec] = (),
    first: bool = False,
) -> File:
    """Return a file with one operator on a 9x9 image of 4 channels, its constants behind it."""
    net = File()
    image = net.tensor(values([1, 9, 9, 4], kind, 0.03, -5))
    net.inputs = [image]
    others = [net.tensor(constant) for constant in constants]
    reads = [*others, image] if first else [image, *others]
    net.outputs = [net.call(name, options, reads, out)]
    return net


def same(kind: str, channels: int = 4) -> Spec:
    return values([1, 9, 9, channels], kind, 0.03, -5)


def pool(kind: str, padding: int, stride: int, size: int) -> tuple[str, dict[str, int]]:
    return "Pool2DOptions", {
        "StrideH": stride, "StrideW": stride, "Padding": padding,
        "FilterHeight": size, "FilterWidth": size,
    }  # fmt: skip


def spread(kind: str, padding: int, stride: int, size: int) -> File:
    """A transposed convolution of 3x3 weights to two channels."""
    options = {"StrideH": stride, "StrideW": stride, "Padding": padding}
    out = values([1, size, size, 2], kind, 0.1, -5)
    constants = [integers(out.shape), fixed([2, 3, 3, 4], kind)]
    window = ("TransposeConvOptions", options)
    return one("TRANSPOSE_CONV", kind, out, options=window, constants=constants, first=True)


def offset_spread(kind: str) -> File:
    net = spread(kind, SAME, 2, 18)
    data = np.array([7, -9])
    bias = Spec(shape=[2], type="int32", scales=[0.03 * 0.04], data=data.astype(np.int32))
    if kind == "float32":
        bias = Spec(shape=[2], data=(data / 10).astype(np.float32))
    net.operators[0][2].append(net.tensor(bias))
    return net


def acting(kind: str, activation: int) -> tuple[str, dict[str, int]]:
    return f"{kind}Options", {"FusedActivationFunction": activation}


def dense_pad(kind: str) -> File:
    pads = integers([[0, 0], [1, 2], [0, 3], [0, 0]])
    return one("PAD", kind, values([1, 12, 12, 4], kind, 0.03, -5), constants=[pads])


def joined(kind: str) -> File:
    """The image beside its own ReLU; of uint8 alone may their grids differ."""
    net = File()
    image = net.tensor(same(kind))
    net.inputs = [image]
    other = values([1, 9, 9, 4], kind, 0.02, -128) if kind == "uint8" else same(kind)
    relu = net.call("RELU", None, [image], other)
    options = ("ConcatenationOptions", {"Axis": -1})
    out = values([1, 9, 9, 8], kind, 0.031, -4) if kind == "uint8" else same(kind, 8)
    net.outputs = [net.call("CONCATENATION", options, [image, relu], out)]
    return net


def twice(kind: str) -> File:
    """A sum of two computed maps, and of one with itself."""
    net = File()
    image = net.tensor(same(kind))
    net.inputs = [image]
    relu = net.call("RELU", None, [image], values([1, 9, 9, 4], kind, 0.02, -128))
    once = net.call("SUB", ("SubOptions", {}), [relu, image], values([1, 9, 9, 4], kind))
    net.outputs = [net.call("MUL", ("MulOptions", {}), [once, relu], values([1, 9, 9, 4], kind))]
    return net


def resized(name: str, *, corners: bool, half: bool, size: int) -> Callable[[str], File]:
    kind_of = {
        "RESIZE_BILINEAR": "ResizeBilinear",
        "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighbor",
    }
    options = f"{kind_of[name]}Options", {"AlignCorners": corners, "HalfPixelCenters": half}
    return lambda kind: one(
        name,
        kind,
        values([1, size, size, 4], kind, 0.03, -5),
        options=options,
        constants=[integers([size, size])],
    )


def arithmetic(name: str, activation: int, *, first: bool = False) -> Callable[[str], File]:
    title = name.capitalize()
    return lambda kind: one(
        name,
        kind,
        values([1, 9, 9, 4], kind, 0.07 if name != "DIV" else 0.2),
        options=acting(title, activation),
        constants=[fixed([4], kind)],
        first=first,
    )


#: By operator: files with it.
FILES: dict[str, Callable[[str], File]] = {
    "AVERAGE_POOL_2D": lambda kind: one(
        "AVERAGE_POOL_2D", kind, values([1, 5, 5, 4], kind, 0.03, -5),
        options=pool(kind, SAME, 2, 3),
    ),
    "TRANSPOSE_CONV": lambda kind: spread(kind, SAME, 2, 18),
    "TRANSPOSE_CONV with offsets": offset_spread,
    "TRANSPOSE_CONV of an odd map": lambda kind: spread(kind, SAME, 2, 17),
    "TRANSPOSE_CONV beyond the map": lambda kind: spread(kind, VALID, 3, 27),
    "MAX_POOL_2D": lambda kind: one(
        "MAX_POOL_2D", kind, values([1, 4, 4, 4], kind, 0.03, -5), options=pool(kind, VALID, 2, 2)
    ),
    "MEAN": lambda kind: one(
        "MEAN", kind, values([1, 4], kind, 0.01, 3), constants=[integers([1, 2])]
    ),
    "MEAN of all that is kept": lambda kind: one(
        "MEAN", kind, values([1, 1, 1, 4], kind, 0.01, 3),
        options=("ReducerOptions", {"KeepDims": True}), constants=[integers([1, 2])],
    ),
    "ADD": arithmetic("ADD", RELU),
    "ADD of a constant that comes first": arithmetic("ADD", 0, first=True),
    "SUB": arithmetic("SUB", RELU6),
    "SUB from a constant": arithmetic("SUB", 0, first=True),
    "SUB and MUL of maps": twice,
    "MUL": arithmetic("MUL", 0),
    "DIV": arithmetic("DIV", 0),
    "RESHAPE": lambda kind: one(
        "RESHAPE", kind, values([1, 27, 3, 4], kind, 0.03, -5), constants=[integers([1, 27, 3, 4])]
    ),
    "SQUEEZE": lambda kind: one("SQUEEZE", kind, values([9, 9, 4], kind, 0.03, -5)),
    "EXPAND_DIMS": lambda kind: one(
        "EXPAND_DIMS", kind, values([1, 1, 9, 9, 4], kind, 0.03, -5), constants=[integers([0])]
    ),
    "TRANSPOSE": lambda kind: one(
        "TRANSPOSE", kind, values([1, 4, 9, 9], kind, 0.03, -5),
        constants=[integers([0, 3, 1, 2])],
    ),
    "PAD": dense_pad,
    "CONCATENATION": joined,
    "RELU": lambda kind: one("RELU", kind, values([1, 9, 9, 4], kind, 0.02, -128)),
    "RELU6": lambda kind: one("RELU6", kind, values([1, 9, 9, 4], kind, 6 / 255, -128)),
    "LOGISTIC": lambda kind: one("LOGISTIC", kind, values([1, 9, 9, 4], kind, 1 / 256, -128)),
    "TANH": lambda kind: one("TANH", kind, values([1, 9, 9, 4], kind, 1 / 128, 0)),
    "HARD_SWISH": lambda kind: one("HARD_SWISH", kind, values([1, 9, 9, 4], kind, 0.02, -100)),
    "ELU": lambda kind: one("ELU", kind, values([1, 9, 9, 4], kind, 0.03, -90)),
    "SOFTMAX": lambda kind: one(
        "SOFTMAX", kind, values([1, 9, 9, 4], kind, 1 / 256, -128),
        options=("SoftmaxOptions", {"Beta": 1.0}),
    ),
    "LEAKY_RELU": lambda kind: one(
        "LEAKY_RELU", kind, values([1, 9, 9, 4], kind, 0.02, -60),
        options=("LeakyReluOptions", {"Alpha": 0.125}),
    ),
    "QUANTIZE": lambda kind: one("QUANTIZE", kind, values([1, 9, 9, 4], "int8", 0.02, 7)),
    "DEQUANTIZE": lambda kind: one("DEQUANTIZE", "int8", Spec(shape=[1, 9, 9, 4])),
    "RESIZE_BILINEAR": resized("RESIZE_BILINEAR", corners=False, half=True, size=18),
    "RESIZE_BILINEAR by corners": resized("RESIZE_BILINEAR", corners=True, half=False, size=13),
    "RESIZE_NEAREST_NEIGHBOR": resized(
        "RESIZE_NEAREST_NEIGHBOR", corners=False, half=False, size=18
    ),
    "RESIZE_NEAREST_NEIGHBOR by halves": resized(
        "RESIZE_NEAREST_NEIGHBOR", corners=False, half=True, size=14
    ),
}  # fmt: skip
#: Functions that the runtime computes from tables or series of its own; ours may round a value
#: that lies half way to the next integer.
ROUNDED = {"LOGISTIC", "TANH", "HARD_SWISH", "SOFTMAX"}
#: Operators of float32 maps alone: of DIV, LiteRT makes 255 of 0 / x; it has no 8-bit ELU.
REAL = {"DIV", "ELU"}


@pytest.mark.parametrize(
    ("case", "kind"),
    [(case, kind) for case in FILES for kind in KINDS if kind == "float32" or case not in REAL],
)
def test_its_values_are_the_runtimes(case: str, kind: str, tmp_path: Path) -> None:
    path = saved(FILES[case](kind), tmp_path)
    if kind == "float32" or case.split()[0] not in ROUNDED:
        assert_equal_to_runtime(path, IMAGE)
        return
    program = tflite_program(path)
    (theirs,) = runtime_values(path, IMAGE).values()
    (name,) = program.outputs
    ours: NDArray[Any] = ProgramRunner(program).evaluate({program.image: IMAGE}, [name])[name]
    net = FILES[case](kind)
    made = net.tensors[net.outputs[0]]
    whole = np.rint(ours.transpose(0, 2, 3, 1) / made.scales[0]) + made.zeros[0]
    assert np.abs(whole - theirs).max() <= 1
    assert (whole != theirs).mean() < 0.02


def test_8_bit_maps_are_not_divided(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="layer2: DIV is not supported here: 8-bit maps are"):
        tflite_program(saved(FILES["DIV"]("uint8"), tmp_path))


@pytest.mark.parametrize(("stride", "size"), [(2**30, 18), (2, 30), (4, 18)])
def test_a_transposed_convolution_makes_the_map_that_its_window_says(
    stride: int, size: int, tmp_path: Path
) -> None:
    """Whatever a file says, memory is bounded by its maps."""
    with pytest.raises(WorkloadError, match=r"TRANSPOSE_CONV is not supported here: a window of"):
        tflite_program(saved(spread("float32", SAME, stride, size), tmp_path))


def test_every_operator_is_tried() -> None:
    elsewhere = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
    assert {case.split()[0] for case in FILES} | elsewhere == set(HANDLERS)
