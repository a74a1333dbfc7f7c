"""``.tflite`` networks as programs: real sums, and behind them the rounding of 8-bit tensors.

An 8-bit layer becomes two steps: its exact sum in real numbers, as a float network would have it,
and what the runtime makes of that sum, an integer between the limits of the output's type and of
the activation (:mod:`~archonsim.export.grids`). So a ReLU's mask is that of the integers: what
becomes the zero point is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from archonsim.errors import WorkloadError
from archonsim.export import arrays
from archonsim.export.grids import Grid, Whole
from archonsim.export.operators import operator as known_operator
from archonsim.export.program import LARGEST_MACS, LARGEST_MAPS, Program, Step
from archonsim.export.tflite_file import Model, Operator, Tensor, read_tflite
from archonsim.export.tflite_operators import HANDLERS
from archonsim.export.tflite_weighted import ours
from archonsim.trace.tensors import Floats

#: The image, where the network reads it rounded to 8 bits.
_IMAGE: Final = "image"


def tflite_program(path: Path, *, relu6_as_relu: bool = False) -> Program:
    """Read a file and return its network.

    Parameters
    ----------
    relu6_as_relu : bool
        Leave out the upper limit of every ReLU6; 8-bit maps then exceed their 8 bits.

    Raises
    ------
    WorkloadError
        The file is no whole one, or holds something that is not run here.
    """
    return Translation(read_tflite(path), path, relu6_as_relu).program()


def grid_of(tensor: Tensor) -> Grid:
    """Return the values that an 8-bit tensor can take."""
    limits = np.iinfo(tensor.type)
    scale, zero = float(tensor.scales[0]), int(tensor.zeros[0])
    return Grid(scale=scale, zero=zero, low=int(limits.min), high=int(limits.max))


class Translation:
    """Turns the operators of a file into steps, in order."""

    def __init__(self, model: Model, path: Path, relu6_as_relu: bool) -> None:
        self._model, self._path, self.relu6_as_relu = model, path, relu6_as_relu
        self._steps: list[Step] = []
        self._names: dict[int, str] = {}
        self._hidden: set[int] = set()
        self._parameters: dict[int, int] = {}
        self._macs, self._values, self._image = 0, 0, _IMAGE

    def program(self) -> Program:
        """Return all of it."""
        size = self._input()
        for one in self._model.operators:
            if not any(output.is_real for output in one.outputs):
                self._hidden |= {output.index for output in one.outputs}
                continue
            handler = HANDLERS.get(one.name)
            if handler is None:
                label = one.outputs[0].name if one.outputs else one.name
                known_operator(one.name, f"{self._path}: {label}")
                raise self.refused(one, "it is not run here")
            if len(one.outputs) != 1 or one.outputs[0].index in self._names:
                raise self.refused(one, "it must make one value, and each value is made once")
            handler(self, one)
        unmade = [one.name for one in self._model.outputs if one.index not in self._names]
        if unmade or not self._model.outputs:
            raise WorkloadError(f"{self._path}: output {', '.join(unmade)} is made by no operator")
        return Program(
            image=self._image,
            size=size,
            steps=tuple(self._steps),
            outputs=tuple(self._names[one.index] for one in self._model.outputs),
            params=sum(self._parameters.values()),
        )

    def _input(self) -> tuple[int, int, int]:
        inputs = self._model.inputs
        first = inputs[0] if len(inputs) == 1 else None
        if first is None or len(first.shape) != 4 or not first.is_real or first.data is not None:
            found = ", ".join(f"{one.name} {one.shape} {one.type}" for one in inputs)
            raise WorkloadError(
                f"{self._path}: inputs are {found or 'none'}; it must have one (1, H, W, C) of"
                " real numbers, or of 8 bits with a scale: the image"
            )
        if first.shape[0] != 1 or min(first.shape) < 1:
            raise WorkloadError(
                f"{self._path}: input {first.name} is {first.shape}; the batch must be 1"
            )
        name = f"t{first.index}"
        self._names[first.index] = name
        grid = self.grid(first)
        if grid is None:
            self._image = name
        else:
            self._steps.append(
                self._rounding(first, name, "round", (_IMAGE,), (_IMAGE,), grid.quantise)
            )
        channels, height, width = ours(first.shape)[1:]
        return channels, height, width

    def refused(self, one: Operator, why: str) -> WorkloadError:
        """Return the error of an operator that no workload describes."""
        label = one.outputs[0].name if one.outputs else one.name
        return WorkloadError(f"{self._path}: {label}: {one.name} is not supported here: {why}")

    def grid(self, tensor: Tensor) -> Grid | None:
        """Return the values that a map can take; None of real numbers."""
        if not tensor.is_quantised:
            if tensor.type not in ("float32", "float16"):
                raise WorkloadError(
                    f"{self._path}: {tensor.name}: is {tensor.type} without a scale; maps are"
                    " float32, or int8 or uint8 with a scale and a zero point"
                )
            return None
        if tensor.scales.size != 1 or tensor.scales[0] <= 0:
            raise WorkloadError(
                f"{self._path}: {tensor.name}: has {tensor.scales.size} scales, the first"
                f" {tensor.scales[0]:g}; a map has one, above 0"
            )
        return grid_of(tensor)

    def value(self, one: Operator, place: int) -> Tensor:
        """Return the tensor of real numbers that an operator reads at a place."""
        tensor = one.inputs[place] if place < len(one.inputs) else None
        if tensor is None:
            raise self.refused(one, f"its input {place} is left out")
        if tensor.index in self._hidden or (tensor.data is None and not tensor.is_real):
            raise self.refused(one, f"its input {tensor.name} is computed from sizes")
        if tensor.data is None and tensor.index not in self._names:
            raise self.refused(one, f"its input {tensor.name} is computed by nothing before it")
        return tensor

    def map(self, one: Operator, place: int = 0) -> tuple[Tensor, str]:
        """Return the computed tensor that an operator reads at a place, and its name."""
        tensor = self.value(one, place)
        if tensor.data is not None:
            raise self.refused(one, f"its input {tensor.name} is constant")
        return tensor, self._names[tensor.index]

    def constant(self, one: Operator, place: int, kind: str = "iu") -> Tensor | None:
        """Return the constant that an operator reads at a place; None where it is left out."""
        tensor = one.inputs[place] if place < len(one.inputs) else None
        if tensor is not None and (tensor.data is None or tensor.data.dtype.kind not in kind):
            raise self.refused(one, f"its input {tensor.name} is not constant, or {tensor.type}")
        return tensor

    def numbers(self, one: Operator, place: int) -> list[int]:
        """Return constant sizes, axes or the like."""
        tensor = self.constant(one, place)
        if tensor is None or tensor.data is None or tensor.data.size > 16:
            raise self.refused(one, f"its input {place} is left out, or has over 16 numbers")
        return [int(number) for number in tensor.data.reshape(-1)]

    def fits(self, one: Operator, shape: Sequence[int]) -> None:
        """Refuse an operator that makes another shape, in our layout, than the file declares."""
        if tuple(shape) != ours(one.outputs[0].shape):
            raise self.refused(
                one, f"it makes {tuple(shape)}; the file says {ours(one.outputs[0].shape)}"
            )

    def counts(self, *tensors: Tensor | None) -> None:
        """Count constants as parameters, each once."""
        for tensor in tensors:
            if tensor is not None and tensor.data is not None:
                self._parameters[tensor.index] = tensor.data.size

    def weighs(self, one: Operator, macs: int) -> None:
        """Add to the multiplications of the network."""
        self._macs += macs
        if self._macs > LARGEST_MACS:
            raise self.refused(one, f"up to it, the network has over {LARGEST_MACS} MACs")

    def emit(
        self,
        one: Operator,
        kind: str,
        sources: Sequence[str],
        compute: Callable[..., Floats],
        arguments: dict[str, Any] | None = None,
        whole: Callable[..., Whole] | None = None,
    ) -> None:
        """Append an operator's step, and one of its rounding or activation.

        Parameters
        ----------
        kind : str
            The operator's name to us.
        whole : function of the same values as `compute`, optional
            The runtime's integers, not yet limited; for an 8-bit output. Without one, the output
            has the values of the input: nothing is rounded.
        """
        out, activation = one.outputs[0], str(one.options.get("activation", "none"))
        name, inputs = f"t{out.index}", tuple(sources)
        self._values += math.prod(out.shape)
        if self._values > LARGEST_MAPS:
            raise self.refused(one, f"up to it, maps have more than {LARGEST_MAPS} values")
        rounds = self.grid(out) is not None and whole is not None
        acts = not rounds and activation != "none"
        if acts and (activation not in arrays.ACTIVATIONS or self.grid(out) is not None):
            raise self.refused(one, f"its activation is {activation}")
        first = Step(
            name=f"{name}.sum" if rounds or acts else name,
            label=out.name,
            operator=kind,
            inputs=inputs,
            compute=compute,
            arguments=arguments or {},
            shape=ours(out.shape),
        )
        self._steps.append(first)
        self._names[out.index] = name
        if rounds and whole is not None:
            self._steps.append(self._rounding(out, name, activation, (first.name,), inputs, whole))
        elif acts:
            function = "relu" if activation == "relu6" and self.relu6_as_relu else activation
            self._steps.append(
                Step(
                    name=name,
                    label=out.name,
                    operator=function,
                    inputs=(first.name,),
                    compute=lambda x: arrays.activate(x, function),
                )
            )

    def _rounding(
        self,
        out: Tensor,
        name: str,
        activation: str,
        inputs: tuple[str, ...],
        reads: tuple[str, ...],
        whole: Callable[..., Whole],
    ) -> Step:
        grid = grid_of(out)
        low, high = grid.limits(activation)
        kind = "round" if activation == "none" else activation
        if activation == "none" and low == grid.zero:  # nothing negative is left
            top = grid.scale * (high - grid.zero)
            kind = "relu6" if abs(top - 6) <= grid.scale else "relu"
        unlimited = kind == "relu6" and self.relu6_as_relu
        limit = np.iinfo(np.int64).max if unlimited else high
        return Step(
            name=name,
            label=out.name,
            operator="requantise",
            inputs=inputs,
            reads=reads,
            compute=lambda *values: grid.real(np.clip(whole(*values), low, limit)),
            arguments={
                "kind": "relu" if unlimited else kind,
                "min": grid.scale * (low - grid.zero),
                "max": np.inf if unlimited else grid.scale * (high - grid.zero),
                "step": grid.scale,
            },
            shape=ours(out.shape),
        )

    def flat(self, one: Operator, source: str, count: int) -> str:
        """Append a step that makes a vector of a map, in the file's order; return its name."""
        name = f"t{one.outputs[0].index}.flat"

        def moved(x: Floats) -> Floats:
            return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).reshape(1, count)

        label = f"{one.outputs[0].name} (input)"
        step = Step(
            name=name, label=label, operator="reshape", inputs=(source,), compute=moved,
            shape=(1, count),
        )  # fmt: skip
        self._steps.append(step)
        return name

    def grids(
        self, one: Operator, *tensors: Tensor, weights: int | None = None
    ) -> tuple[Grid, ...] | None:
        """Return the grids of tensors, all of them 8-bit; None where all are real.

        Parameters
        ----------
        weights : int, optional
            The place of weights among them: they must be of the same kind, and their grid, one for
            each channel, is left out.
        """
        if weights is not None and tensors[weights].is_quantised != tensors[0].is_quantised:
            raise self.refused(
                one, "8-bit weights on float32 maps (a dynamic range) are rounded as it runs"
            )
        found = [self.grid(each) for place, each in enumerate(tensors) if place != weights]
        whole = tuple(grid for grid in found if grid is not None)
        if whole and len(whole) != len(found):
            raise self.refused(one, "it mixes 8-bit tensors and float32 ones")
        return whole or None
