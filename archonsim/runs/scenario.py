"""What is to be run: one frozen description, for the command line, Python, sweeps and figures.

A new option of a run is one field of :class:`Settings`, its type in :class:`Options`, and its
declaration in ``archonsim/cli/options.py``; every command and function that runs a scenario then
takes it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypedDict, cast, get_args

from archonsim.errors import MaskError, SpecError
from archonsim.machines.registry import machine, machine_spec
from archonsim.network.workload import Workload
from archonsim.runs.run import Run
from archonsim.runs.simulate import Fidelity
from archonsim.spec.load import Overrides, known_keys, override_pairs
from archonsim.trace.what_if import MaskPolicy
from archonsim.tracefile.find import find_workload, parse_images

Images = int | str | Sequence[int] | None
WorkloadLike = str | Path | Workload
#: Sets of rules by which energy is counted.
ENERGY_RULES = ("consistent", "ics21")


def as_workload(workload: WorkloadLike) -> Workload:
    """Return a workload, found by its file or name where need be."""
    return workload if isinstance(workload, Workload) else find_workload(str(workload))


def as_images(images: Images) -> list[int] | None:
    """Return image numbers, None for all; read ``"all"`` and ``"0,2-3"`` as the command line does.

    Raises
    ------
    MaskError
        They are no numbers, or none at all.
    """
    if isinstance(images, str):
        return parse_images(images)
    if isinstance(images, int):
        return [images]
    if images is None:
        return None
    if not images or not all(isinstance(image, int) for image in images):
        raise MaskError(f"images is {images!r}; it must be 'all', or numbers such as 0 or [0, 2]")
    return list(images)


def as_fidelity(fidelity: str) -> Fidelity:
    """Check a fidelity.

    Raises
    ------
    SpecError
        It is none.
    """
    for known in get_args(Fidelity):
        if fidelity == known:
            return cast(Fidelity, known)
    raise SpecError(f"fidelity is {fidelity!r}; it must be {' or '.join(get_args(Fidelity))}")


def energy_key(energy: str) -> str:
    """Return the key of a machine's description that counts energy as asked.

    Raises
    ------
    SpecError
        It is neither a set of rules nor a technology file.
    """
    if energy.endswith(".toml"):
        return "technology"
    if energy in ENERGY_RULES:
        return "energy_rules"
    raise SpecError(
        f"--energy is {energy!r}; it must be {' or '.join(ENERGY_RULES)}, or a technology file that"
        " ends in .toml"
    )


class SharedOptions(TypedDict, total=False):
    """Keywords of every function that runs something: fields of `Settings`, `masks` apart."""

    set: Overrides
    config: str | Path | None
    fidelity: str
    images: Images
    seed: int
    energy: str | None


class Options(SharedOptions, total=False):
    """Keywords of a run: the fields of `Settings`."""

    masks: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How workloads are run, whatever the machine.

    Attributes
    ----------
    set : dict of dotted key to value, or sequence of ``"KEY=VALUE"``
        Changes of the machine, such as ``{"pe.adders": 4}``.
    config : str, Path or None
        TOML file with machine parameters, laid over the preset and under `set`.
    fidelity : {"cycle", "ideal"}
        ``"cycle"`` steps the machine, ``"ideal"`` is the published closed-form model.
    images : int, str, sequence of int or None
        Image numbers; ``"all"`` or None for all, or texts such as ``"0,2-3"``.
    masks : str
        ``"trace"``, ``"oracle"``, ``"all"``, ``"random:P"``, ``"flip:P"``, ...
    seed : int
        Of random and flipped masks.
    energy : str or None
        What energy is counted by: ``"consistent"``, ``"ics21"`` as published, or a technology file;
        see ``docs/energy.md``.

    Raises
    ------
    UserError
        A value is wrong whatever the machine and the workload are.
    """

    set: Overrides = ()
    config: str | Path | None = None
    fidelity: str = "cycle"
    images: Images = 0
    masks: str = "trace"
    seed: int = 0
    energy: str | None = None

    def __post_init__(self) -> None:
        # However they are written, equal settings are equal.
        object.__setattr__(self, "set", override_pairs(self.set))
        object.__setattr__(self, "images", as_images(self.images))
        policy = MaskPolicy.parse(self.masks, self.seed)
        if as_fidelity(self.fidelity) == "ideal" and str(policy) != "trace":
            raise MaskError(
                f"--masks {self.masks}: ideal fidelity uses no masks; use --fidelity cycle"
            )
        if self.energy is not None:
            energy_key(self.energy)

    def on(self, arch: str, workload: WorkloadLike, *, set: Overrides) -> Scenario:
        """Return these settings for one workload on one machine, with that machine's changes.

        A machine without energy rules of the kind asked for counts energy as ever: of several
        machines some have them and others do not.
        """
        energy = self.energy
        if energy is not None and energy_key(energy) not in known_keys(machine(arch).spec_type):
            energy = None
        same = {field.name: getattr(self, field.name) for field in fields(Settings)}
        return Scenario(arch=arch, workload=workload, **same | {"set": set, "energy": energy})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario(Settings):
    """One workload on one machine: plain data, equal and sendable to other processes.

    Attributes
    ----------
    arch : str
        ``"archon"``, ``"dense"``, ...; ``archonsim archs`` lists them.
    workload : str, Path or Workload
        A workload file, a table or topology of layers, or the name of a network.
    """

    arch: str
    workload: WorkloadLike

    def spec(self, *, varied: Collection[str] = ()) -> Any:
        """Return the machine's description: preset < file < changes.

        Parameters
        ----------
        varied : collection of dotted keys
            As in :func:`archonsim.spec.load.resolve`.

        Raises
        ------
        SpecError
            Unknown architecture or key, or an impossible machine.
        """
        found, changes = machine(self.arch), override_pairs(self.set)
        if self.energy is not None:
            key = energy_key(self.energy)
            if key not in known_keys(found.spec_type):
                raise SpecError(
                    f"--energy {self.energy}: this architecture's description has no key {key}"
                )
            changes = changes | {key: self.energy}
        for key in getattr(found.spec_type, "ideal_only", ()):
            if self.fidelity == "cycle" and key in changes:
                raise SpecError(
                    f"--set {key} has no effect in cycle fidelity; it counts with --fidelity ideal"
                )
        config = None if self.config is None else Path(self.config)
        return machine_spec(found, config, changes, varied=varied)

    def prepare(self, spec: Any = None) -> Run:
        """Look everything up.

        Parameters
        ----------
        spec : the machine's `spec_type`, optional
            The description, where it has been resolved before.

        Raises
        ------
        SpecError
            As `spec`.
        WorkloadError
            A file or network that cannot be used.
        """
        return Run(
            machine=machine(self.arch),
            spec=self.spec() if spec is None else spec,
            workload=as_workload(self.workload),
            fidelity=as_fidelity(self.fidelity),
            images=as_images(self.images),
            masks=MaskPolicy.parse(self.masks, self.seed),
        )


def cycle_run(scenario: Scenario, what: str) -> Run:
    """Make a scenario ready for what only cycles that are stepped can answer.

    Raises
    ------
    SpecError
        Ideal fidelity is asked for; or as :meth:`Scenario.prepare`.
    """
    if scenario.fidelity != "cycle":
        raise SpecError(f"fidelity is {scenario.fidelity!r}; {what} needs cycle")
    return scenario.prepare()
