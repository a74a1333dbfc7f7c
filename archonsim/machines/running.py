"""Running a machine, and checking what it returns: no cycle and no word gets lost.

Everything that runs a machine does so here. What a plug-in returns has its cycles added up, and its
words looked for in its vocabulary, before anybody shows or sums them.
"""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Iterator, Sequence
from typing import Any

from archonsim.engine.observer import SILENT, Observer
from archonsim.errors import SpecError, UndeclaredError
from archonsim.machines.check import check_call, takes_observer
from archonsim.machines.phases import PhaseResult
from archonsim.machines.protocol import Machine, OnStep, Simulation
from archonsim.machines.registry import words_of
from archonsim.network.workload import Workload
from archonsim.stats.counts import PhaseStats
from archonsim.trace.image import ImageInputs
from archonsim.vocabulary.vocabulary import Vocabulary


def ideal(machine: Machine, workload: Workload, spec: Any) -> list[PhaseResult]:
    """Evaluate a machine's closed-form model.

    Raises
    ------
    SpecError
        It returns cycles without a cause, or a word that it does not declare.
    """
    with _named(machine):
        return _checked(machine.ideal(workload, spec), words_of(machine))


def prepare(machine: Machine, workload: Workload, spec: Any) -> CheckedSimulation:
    """Make a workload ready for ``cycle`` fidelity on a machine.

    Raises
    ------
    SpecError
        What the machine returns cannot run.
    """
    with _named(machine):
        simulation = machine.prepare(workload, spec)
        if not hasattr(simulation, "run"):
            raise UndeclaredError(f"prepare returns {simulation!r}; it must return a simulation")
        wanted = ("image", "on_step", *(("observer",) if takes_observer(simulation.run) else ()))
        check_call("run of its simulation", simulation.run, wanted)
    return CheckedSimulation(machine, simulation)


class CheckedSimulation:
    """A simulation of a machine whose results are checked.

    Parameters
    ----------
    machine : Machine
    simulation : Simulation
    """

    def __init__(self, machine: Machine, simulation: Simulation) -> None:
        self._machine, self._simulation = machine, simulation
        self._words = words_of(machine)

    def run(
        self, image: ImageInputs, on_step: OnStep, observer: Observer = SILENT
    ) -> list[PhaseResult]:
        """Simulate one image.

        Raises
        ------
        SpecError
            The machine returns cycles without a cause, or a word that it does not declare; or it is
            to be watched, and takes no observer.
        """
        run = self._simulation.run
        if observer is not SILENT and not takes_observer(run):
            raise SpecError(
                f"architecture {self._machine.name!r} cannot be traced: its simulation's run takes"
                " no observer"
            )
        with _named(self._machine):
            found = (
                run(image, on_step, observer=observer)
                if takes_observer(run)
                else run(image, on_step)
            )
            return _checked(found, self._words)


@contextlib.contextmanager
def _named(machine: Machine) -> Iterator[None]:
    """Put the machine's name in front of what is said about its words."""
    try:
        yield
    except UndeclaredError as error:
        raise UndeclaredError(f"architecture {machine.name!r}: {error}") from error


def _checked(found: Any, words: Vocabulary) -> list[PhaseResult]:
    if not isinstance(found, Sequence) or not all(isinstance(one, PhaseResult) for one in found):
        raise UndeclaredError(f"a run returns {found!r}; it must be a list of PhaseResult")
    for one in found:
        try:
            _check_numbers(one.stats)
            _check_words(one, words)
        except UndeclaredError as error:
            raise UndeclaredError(f"{one.name} {one.phase}: {error}") from error
    return list(found)


def _whole(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise UndeclaredError(f"{name} is {value!r}; it must be a whole number") from None


def _check_numbers(stats: PhaseStats) -> None:
    """Make all counts plain integers, and find a cause for every cycle."""
    for name in ("cycles", "compute", "macs", "adds", "adds_possible"):
        setattr(stats, name, _whole(name, getattr(stats, name)))
    for sort in (stats.stalls, stats.traffic, stats.activity, stats.actions, stats.bounds):
        for key, value in sort.items():
            if type(value) is not int:
                sort[key] = _whole(str(key), value)  # type: ignore[index]
    stalls = sum(stats.stalls.values())
    if stats.cycles != stats.compute + stalls or min(stats.stalls.values(), default=0) < 0:
        raise UndeclaredError(
            f"cycles are {stats.cycles}, but compute {stats.compute} and stalls"
            f" {dict(stats.stalls)} are {stats.compute + stalls}; every cycle needs one cause"
        )


def _check_words(result: PhaseResult, words: Vocabulary) -> None:
    stats = result.stats
    for cause in stats.stalls:
        words.demand("stalls", cause)
    for owner in stats.bounds:
        words.demand("owners", owner)
    for component, direction, kind in stats.traffic:
        _check_action(words, component, direction, kind)
        buffer = words.buffer(component)
        if buffer is not None and buffer.holds and kind not in buffer.holds:
            raise UndeclaredError(
                f"a transfer of {kind!r} passes buffer {component!r}, which holds"
                f" {', '.join(buffer.holds)}"
            )
    for component, action, kind in stats.actions:
        _check_action(words, component, action, kind)
    for component, kind in result.energy or {}:
        words.demand("components", component)
        words.demand("kinds", kind)


def _check_action(words: Vocabulary, component: str, action: str, kind: str) -> None:
    words.demand("components", component)
    words.demand("kinds", kind)
    known = words.component(component).actions
    if action not in known:
        raise UndeclaredError(
            f"component {component!r} has no action {action!r}; it has {', '.join(known)}"
        )
