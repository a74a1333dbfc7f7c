"""Keras models as programs: layers with channels last, in float32."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from archonsim.errors import WorkloadError
from archonsim.export import arrays
from archonsim.export.keras_file import KerasLayer, read_keras
from archonsim.export.keras_layers import MAKERS
from archonsim.export.operators import plain
from archonsim.export.program import LARGEST_MACS, LARGEST_MAP, LARGEST_MAPS, Program, Step
from archonsim.trace.tensors import Floats

Pair = tuple[int, int]
Shape = tuple[int, ...]
#: Keras's names of activations where they are not ours.
_ACTIVATIONS: Final = {
    "swish": "silu", "hard_swish": "hardswish", "hard_silu": "hardswish",
    "hard_sigmoid": "hardsigmoid",
}  # fmt: skip


def keras_program(path: Path, *, relu6_as_relu: bool = False) -> Program:
    """Read a file and return its network.

    Parameters
    ----------
    relu6_as_relu : bool
        Put a ReLU in the place of every ReLU6.

    Raises
    ------
    WorkloadError
        The file is no whole one, or holds a layer that is not run here.
    """
    return Translation(path, relu6_as_relu).program()


class Translation:
    """Turns the layers of a model into steps, in order."""

    def __init__(self, path: Path, relu6_as_relu: bool) -> None:
        self._path, self._relu6_as_relu = path, relu6_as_relu
        self._model = read_keras(path)
        self._steps: list[Step] = []
        self._shapes: dict[str, Shape] = {}
        self._image: str | None = None
        self._macs = self._values = 0

    def program(self) -> Program:
        """Return all of it."""
        for one in self._model.layers:
            try:
                self._layer(one)
            except WorkloadError:
                raise
            except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
                raise self.refused(
                    one, f"its configuration or weights are not as Keras writes them ({error!r})"
                ) from error
        if self._image is None or any(one not in self._shapes for one in self._model.outputs):
            raise WorkloadError(f"{self._path}: its input or output layer is missing")
        channels, height, width = self._shapes[self._image][1:]
        return Program(
            image=self._image,
            size=(channels, height, width),
            steps=tuple(self._steps),
            outputs=self._model.outputs,
            params=sum(weight.size for one in self._model.layers for weight in one.weights),
        )

    def _layer(self, one: KerasLayer) -> None:
        if one.name in self._shapes:
            raise self.refused(one, "two layers have its name")
        if one.kind == "InputLayer":
            self._input(one)
            return
        missing = [name for name in one.inputs if name not in self._shapes]
        if missing or not one.inputs:
            raise self.refused(one, f"it reads {', '.join(missing) or 'nothing'} before it is made")
        if one.config.get("data_format", "channels_last") != "channels_last":
            raise self.refused(one, "its channels are first; save the model with channels last")
        maker = MAKERS.get(one.kind)
        if maker is None:
            known = ", ".join(sorted(MAKERS))
            raise WorkloadError(
                f"{self._path}: {one.name}: layer {one.kind!r} is not supported; layers are {known}"
            )
        maker(self, one)

    def _input(self, one: KerasLayer) -> None:
        shape = one.config.get("batch_shape", one.config.get("batch_input_shape"))
        sizes = list(shape or ())[1:]
        if self._image is not None or len(sizes) != 3:
            raise self.refused(one, f"it is {shape}; a network has one image (None, H, W, C)")
        if any(not isinstance(size, int) or size < 1 for size in sizes):
            raise self.refused(one, f"it is {shape}; height, width and channels must be fixed")
        self._image = one.name
        self._shapes[one.name] = (1, sizes[2], sizes[0], sizes[1])
        self._holds(one, self._shapes[one.name])

    def refused(self, one: KerasLayer, why: str) -> WorkloadError:
        """Return the error of a layer that no workload describes."""
        return WorkloadError(f"{self._path}: {one.name}: {one.kind} is not supported here: {why}")

    def shape(self, one: KerasLayer) -> Shape:
        """Return the shape of a layer's one input, in our layout."""
        if len(one.inputs) != 1:
            raise self.refused(one, f"it reads {len(one.inputs)} values")
        return self._shapes[one.inputs[0]]

    def shapes(self, one: KerasLayer) -> list[Shape]:
        """Return the shapes of a layer's inputs, in our layout."""
        return [self._shapes[name] for name in one.inputs]

    def part(self, one: KerasLayer) -> Shape:
        """Return the shape of what a layer's next step reads."""
        return self._shapes.get(f"{one.name}.part") or self.shape(one)

    def map(self, one: KerasLayer) -> tuple[int, Pair]:
        """Return channels and size of a layer's one input."""
        shape = self.shape(one)
        if len(shape) != 4:
            raise self.refused(one, f"it takes a map, and reads a value of shape {shape}")
        return shape[1], (shape[2], shape[3])

    def _holds(self, one: KerasLayer, shape: Shape) -> None:
        size = math.prod(shape)
        self._values += size
        if size > LARGEST_MAP or self._values > LARGEST_MAPS:
            raise self.refused(
                one,
                f"it makes {shape}; maps have up to {LARGEST_MAP} values, {LARGEST_MAPS} in all",
            )

    def emit(
        self,
        one: KerasLayer,
        operator: str,
        shape: Shape,
        compute: Callable[..., Floats],
        arguments: dict[str, Any] | None = None,
        part: str = "",
        macs: int = 0,
    ) -> None:
        """Append a layer's step, and one of its activation.

        Parameters
        ----------
        part : str
            Of a layer of several steps, what is not the last one; it reads the last such.
        macs : int
            Its multiplications.
        """
        self._holds(one, shape)
        self._macs += macs
        if self._macs > LARGEST_MACS:
            raise self.refused(one, f"up to it, the network has over {LARGEST_MACS} MACs")
        before = f"{one.name}.part"
        inputs = (before,) if before in self._shapes else one.inputs
        function = "linear" if part else self.function(one)
        last = one.name if function == "linear" else f"{one.name}.sum"
        name = before if part else last
        self._shapes[name] = shape
        label = f"{one.name}.{part}" if part else one.name
        self._steps.append(
            Step(
                name=name, label=label, operator=operator, inputs=inputs, compute=compute,
                arguments=arguments or {}, shape=shape,
            )
        )  # fmt: skip
        if function != "linear":
            self.activate(one, function, name)

    def function(self, one: KerasLayer) -> str:
        """Return our name of a layer's activation."""
        given = one.config.get("activation", "linear")
        if isinstance(given, dict):
            given = given["config"] if given["class_name"] == "function" else given["class_name"]
        name = str(given or "linear")
        if name == "hard_sigmoid" and self._model.version.startswith("2"):
            raise self.refused(one, "its activation is hard_sigmoid, which Keras 2 has as 0.2x+0.5")
        name = plain(_ACTIVATIONS.get(name, name))
        if name != "linear" and name not in arrays.ACTIVATIONS:
            raise self.refused(one, f"its activation is {name!r}")
        return "relu" if name == "relu6" and self._relu6_as_relu else name

    def activate(self, one: KerasLayer, function: str, source: str) -> None:
        """Append an activation as a layer's last step."""
        shape = self._shapes[source]
        axis = 1 if len(shape) == 4 else -1
        compute = partial(arrays.activate, kind=function)
        if function == "softmax":
            compute = partial(arrays.softmax, axis=axis)
        self._shapes[one.name] = shape
        self._steps.append(
            Step(
                name=one.name, label=one.name, operator=function, inputs=(source,),
                compute=compute, shape=shape,
            )
        )  # fmt: skip

    def limits(self, one: KerasLayer, most: float | None) -> None:
        """Append a ReLU with an upper limit."""
        kind = "relu6" if most == 6.0 else "relu" if most is None else "clamp"
        if kind == "relu6" and self._relu6_as_relu:
            kind, most = "relu", None
        top = np.float32(np.inf if most is None else most)
        self._shapes[one.name] = self.shape(one)
        self._steps.append(
            Step(
                name=one.name, label=one.name, operator=kind, inputs=one.inputs,
                compute=lambda x: np.minimum(np.maximum(x, np.float32(0)), top),
                arguments={"min": 0.0, "max": most}, shape=self.shape(one),
            )
        )  # fmt: skip
