"""Machines by name: entry points of the group ``archonsim.machines``."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from archonsim.engine.observer import SILENT, Observer
from archonsim.errors import SpecError, nearest
from archonsim.machines.phases import PhaseResult
from archonsim.network.block import Block
from archonsim.network.workload import Workload
from archonsim.plugins import MACHINES, load_plugin, plugin_names
from archonsim.spec.load import Overrides, resolve
from archonsim.spec.resources import Resources
from archonsim.trace.mask import Mask
from archonsim.vocabulary.vocabulary import COMMON, Vocabulary

#: Gives the two keep masks of a block for the image that runs.
BlockMasks = Callable[[Block], tuple[Mask, Mask]]


class Simulation(Protocol):
    """A workload made ready to run on one machine in ``cycle`` fidelity; reused for all images."""

    def run(
        self, masks: BlockMasks, on_step: Callable[[str], None], observer: Observer = SILENT
    ) -> list[PhaseResult]:
        """Simulate one image.

        `on_step` is called with the name of each layer or block that is done.

        A simulation whose `run` takes no observer works, too, but cannot be traced.
        """


class Machine(Protocol):
    """An accelerator.

    Attributes
    ----------
    name : str
        As in ``--arch``.
    summary : str
        One line for ``archonsim archs``.
    spec_type : type
        Its description, a frozen dataclass with at least ``clock_mhz`` and ``dram``.
    preset : str
        TOML text of the default description.
    includes, excludes : tuple of str
        What its cycles contain and what they do not, in ``cycle`` fidelity; `ideal_includes` and
        `ideal_excludes` likewise.
    vocabulary : Vocabulary
        Words of its own, beside the common ones: causes of stalls, owners of cycles, components,
        buffers, kinds of data. Optional.
    """

    # Properties, so that a class attribute of a narrower type fits, too.
    @property
    def name(self) -> str:
        """Name as in ``--arch``."""

    @property
    def summary(self) -> str:
        """One line for ``archonsim archs``."""

    @property
    def spec_type(self) -> type:
        """Frozen dataclass of the description."""

    @property
    def preset(self) -> str:
        """TOML text of the default description."""

    @property
    def includes(self) -> tuple[str, ...]:
        """What the cycles of ``cycle`` fidelity contain."""

    @property
    def excludes(self) -> tuple[str, ...]:
        """What the cycles of ``cycle`` fidelity leave out."""

    @property
    def ideal_includes(self) -> tuple[str, ...]:
        """What the cycles of ``ideal`` fidelity contain."""

    @property
    def ideal_excludes(self) -> tuple[str, ...]:
        """What the cycles of ``ideal`` fidelity leave out."""

    @property
    def vocabulary(self) -> Vocabulary:
        """Words of its own."""

    def ideal(self, workload: Workload, spec: Any) -> list[PhaseResult]:
        """Evaluate the machine's closed-form model."""

    def prepare(self, workload: Workload, spec: Any) -> Simulation:
        """Make a workload ready for ``cycle`` fidelity."""

    def resources(self, spec: Any) -> Resources:
        """PEs, buffers and area, for comparisons."""

    def steps(self, workload: Workload) -> int:
        """How many times one simulated image calls ``on_step``."""


def words_of(machine: Machine) -> Vocabulary:
    """Return the words that a machine may use: the common ones, and its own."""
    return COMMON | getattr(machine, "vocabulary", Vocabulary())


def machine_names() -> list[str]:
    """Return the names of all registered machines, sorted."""
    return plugin_names(MACHINES)


def machine(name: str) -> Machine:
    """Return a registered machine.

    Raises
    ------
    SpecError
        No machine of that name is registered, or its plug-in does not load.
    """
    if name not in machine_names():
        raise SpecError(f"unknown architecture {name!r}{nearest(name, machine_names())}")
    found: Machine = load_plugin(MACHINES, name)
    return found


def machine_spec(found: Machine, config: Path | None = None, overrides: Overrides = ()) -> Any:
    """Resolve a machine's description: preset < file < overrides.

    Raises
    ------
    SpecError
        A key is unknown, or a value wrong.
    """
    spec: Any = resolve(found.spec_type, tomllib.loads(found.preset), config, overrides)
    words = words_of(found)
    kinds = [one.name for one in words.kinds if one.moves]
    for kind in spec.dram.free:
        if kind not in kinds:
            raise SpecError(
                f"dram.free is {list(spec.dram.free)!r}; {kind!r} is no kind of data of"
                f" {found.name!r}{nearest(kind, kinds)}"
            )
    return spec
