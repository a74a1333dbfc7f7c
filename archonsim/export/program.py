"""Networks that no framework here runs, as a list of numpy operators: what readers of files make.

Maps are ``(1, C, H, W)`` whatever the file's layout; other values keep the file's own. All values
are float32: a quantised network's, too, whose integers are read off its scales and zero points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from archonsim.errors import WorkloadError
from archonsim.export.calls import Call
from archonsim.export.graph import Graph, Node
from archonsim.export.nodes import make_node
from archonsim.trace.tensors import Floats

#: Values of the largest tensor that is read or computed (own decision): 256 MB of float32.
LARGEST_MAP: Final = 1 << 26
#: Values of all maps of a network (own decision).
LARGEST_MAPS: Final = 1 << 30
#: Multiplications of the largest network that is run (own decision): about 100 times ResNet-50.
LARGEST_MACS: Final = 1 << 39


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """One value and how it is computed.

    Attributes
    ----------
    name, label : str
        Its name, unique, and what the network's author calls it.
    operator : str
        As :mod:`~archonsim.export.operators` knows it.
    inputs : tuple of str
        Values that it is made of, as the graph shows it.
    compute : function of the values of `reads`
    arguments : mapping
        As :class:`~archonsim.export.nodes.Call` has them.
    reads : tuple of str
        What `compute` takes, where that is not `inputs`: rounding reads what the layer before it
        reads, for it rounds the layer's exact sum.
    shape : tuple of int, or None
        That the file declares.
    """

    name: str
    label: str
    operator: str
    inputs: tuple[str, ...]
    compute: Callable[..., Floats]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    reads: tuple[str, ...] | None = None
    shape: tuple[int, ...] | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """Values that must be known before it is computed."""
        return self.inputs if self.reads is None else self.reads


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Program:
    """Steps in an order in which they can be computed.

    Attributes
    ----------
    image : str
        The value that is given.
    size : (C, H, W), or None
        Of the image, where the file says it.
    steps : tuple of Step
    outputs : tuple of str
    params : int
        Parameters that the file counts as the network's.
    """

    image: str
    size: tuple[int, int, int] | None
    steps: tuple[Step, ...]
    outputs: tuple[str, ...]
    params: int


class ProgramRunner:
    """Computes values of a program; see :class:`~archonsim.export.graph.Runner`."""

    def __init__(self, program: Program) -> None:
        self._steps = {step.name: step for step in program.steps}

    def evaluate(self, known: Mapping[str, Floats], wanted: Sequence[str]) -> dict[str, Floats]:
        """Return values by name, computed from known ones."""
        needed = self._needed(known, wanted)
        last = {source: step.name for step in needed for source in step.sources}
        values = dict(known)
        for step in needed:
            values[step.name] = step.compute(*(values[one] for one in step.sources))
            for source in step.sources:
                if last[source] == step.name and source not in wanted:
                    values.pop(source, None)
        return {name: values[name] for name in wanted}

    def _needed(self, known: Mapping[str, Floats], wanted: Sequence[str]) -> list[Step]:
        open_, seen = list(wanted), set[str]()
        while open_:
            name = open_.pop()
            if name not in known and name not in seen:
                seen.add(name)
                open_ += self._steps[name].sources
        return [step for name, step in self._steps.items() if name in seen]


def trace_program(program: Program, image: Floats, where: str) -> tuple[Graph, ProgramRunner]:
    """Turn a program into a graph.

    Parameters
    ----------
    image : (1, C, H, W) float32
        Run once: it tells the size of all maps.
    where : str
        The file, named in errors.

    Raises
    ------
    WorkloadError
        The image has another size, a map another than the file declares, or an operator is used
        in a way that no workload can describe.
    """
    if program.size is not None and image.shape[1:] != program.size:
        wanted, found = ("x".join(map(str, one)) for one in (program.size, image.shape[1:]))
        raise WorkloadError(f"{where}: takes images of {wanted}; these are {found}")
    made = {
        program.image: Node(
            name=program.image, op="input", inputs=(), shape=image.shape, label=program.image
        )
    }
    values = {program.image: image}
    last = {source: step.name for step in program.steps for source in step.sources}
    for step in program.steps:
        read = [values[one] for one in step.sources]
        with np.errstate(all="ignore"):  # an overflow is a value like any other here
            value = step.compute(*read)
        if step.shape is not None and value.shape != step.shape:
            raise WorkloadError(
                f"{where}: {step.label}: makes {value.shape}; the file says {step.shape}"
            )
        unchanged = len(read) == 1 and np.array_equal(value, read[0], equal_nan=True)
        made[step.name] = make_node(_call(step, value.shape, unchanged), made)
        values[step.name] = value
        for source in step.sources:
            if last[source] == step.name:
                values.pop(source, None)
    return Graph(tuple(made.values()), program.outputs), ProgramRunner(program)


def _call(step: Step, shape: tuple[int, ...], unchanged: bool) -> Call:
    return Call(
        name=step.name,
        label=step.label,
        operator=step.operator,
        inputs=step.inputs,
        shape=shape,
        arguments=step.arguments,
        unchanged=unchanged,
    )
