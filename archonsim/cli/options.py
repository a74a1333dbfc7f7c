"""Options that mean the same in several commands, declared once.

A command asks for them by the description that it gets: ``@scenario_options()`` gives it a
:class:`~archonsim.runs.scenario.Scenario`, ``@comparison_options()`` a
:class:`~archonsim.runs.comparison.ComparisonScenario`, ``@asked_options()`` an
:class:`~archonsim.cli.results.Asked`. Each has an option for every field, those apart that the
command excludes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import fields
from enum import StrEnum
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archonsim.cli.common import WORKLOAD_HELP
from archonsim.errors import SpecError
from archonsim.runs.scenario import Scenario, Settings
from archonsim.trace.what_if import FORMS

if TYPE_CHECKING:  # which a single run does not need
    from archonsim.runs.comparison import ComparisonScenario

Command = Callable[..., None]


class Fidelity(StrEnum):
    """How closely a run follows the machine."""

    cycle = "cycle"
    ideal = "ideal"


Arch = Annotated[
    str, typer.Option("--arch", "-a", help="Architecture; `archonsim archs` lists them.")
]
WorkloadName = Annotated[str, typer.Option("--workload", "-w", help=WORKLOAD_HELP)]
TracedWorkload = Annotated[
    str, typer.Option("--workload", "-w", help="A workload file (.h5) with masks.")
]
Images = Annotated[
    str, typer.Option("--images", help="Images to run: all, or numbers such as 0 or 0,2-3.")
]
Masks = Annotated[str, typer.Option("--masks", help=f"What-if masks: {FORMS}.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of random and flipped masks.")]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change the machine, e.g. pe.adders=4. Repeatable."
    ),
]
ArchChanges = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="ARCH.KEY=VALUE", help="Change a machine. Repeatable."),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file with machine parameters, laid over the preset."),
]
Energy = Annotated[
    str | None,
    typer.Option(
        "--energy",
        help=(
            "Energy: ics21 as published (ideal fidelity), or a technology file FILE.toml; see"
            " docs/energy.md."
        ),
    ),
]


class Budget(StrEnum):
    """What arrays are made equal in."""

    none = "none"
    pes = "pes"
    area = "area"


Archs = Annotated[
    str, typer.Option("--arch", "-a", help="Architectures, separated by commas; or all.")
]
Workloads = Annotated[
    list[str],
    typer.Option("--workload", "-w", help=f"{WORKLOAD_HELP} Repeatable; all: every named network."),
]
Pairs = Annotated[
    list[str] | None,
    typer.Option(
        "--pair",
        help=(
            "Networks each on a machine of its own, instead of -w and -a:"
            " WORKLOAD:ARCH,WORKLOAD:ARCH. Repeatable."
        ),
    ),
]
Base = Annotated[
    str | None,
    typer.Option(
        "--base",
        help=(
            "Architecture that speedups refer to (with the first workload); the first by default."
        ),
    ),
]
Budgeted = Annotated[
    Budget, typer.Option("--budget", help="Rescale arrays to the base's number of PEs or area.")
]
Exactness = Annotated[
    Fidelity,
    typer.Option(
        "--fidelity", help="cycle steps the machine; ideal is the published closed-form model."
    ),
]

#: Every field of `Settings` as an option, in the order of a command's help: its type and default.
SETTINGS: dict[str, tuple[Any, Any]] = {
    "fidelity": (Exactness, Fidelity.cycle),
    "images": (Images, "0"),
    "masks": (Masks, "trace"),
    "seed": (Seed, 0),
    "set": (Changes, None),
    "energy": (Energy, None),
    "config": (Config, None),
}
#: As an option's default: it must be given.
REQUIRED = Parameter.empty
#: What one set of changes for several machines cannot be.
SEVERAL = {"set": (ArchChanges, None)}


def plain_settings(given: dict[str, Any]) -> dict[str, Any]:
    """Take the fields of `Settings` out of a command's arguments, as plain data."""
    names = [field.name for field in fields(Settings)]
    found = {name: given.pop(name) for name in names if name in given}
    if "fidelity" in found:
        found["fidelity"] = str(found["fidelity"])
    return found | ({"set": found["set"] or ()} if "set" in found else {})


def with_options(
    options: dict[str, tuple[Any, Any]], target: str, build: Callable[[dict[str, Any]], object]
) -> Callable[[Command], Command]:
    """Give a command options in the place of one parameter, which gets what is built of them.

    Parameters
    ----------
    options : dict of name to (annotation, default)
    target : str
        The command's parameter.
    build : function of the options' values by name

    Raises
    ------
    UserError
        At run time, as `build` does.
    """

    def decorate(command: Command) -> Command:
        @wraps(command)
        def run(**given: Any) -> None:
            mine = {name: given.pop(_argument(name)) for name in options}
            command(**given, **{target: build(mine)})

        shown: list[Parameter] = []
        for name, one in signature(command, eval_str=True).parameters.items():
            shown += (
                [one.replace(kind=Parameter.KEYWORD_ONLY)]
                if name != target
                else [
                    Parameter(
                        _argument(option),
                        Parameter.KEYWORD_ONLY,
                        annotation=annotation,
                        default=default,
                    )
                    for option, (annotation, default) in options.items()
                ]
            )
        run.__signature__ = signature(command).replace(parameters=shown)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in shown}
        return run

    return decorate


def _argument(name: str) -> str:
    """Return the name of an option's argument: typer shows no builtin's name to anybody."""
    return f"{name}_" if name == "set" else name


def settings_options(
    *, without: Collection[str] = (), **other: tuple[Any, Any]
) -> dict[str, tuple[Any, Any]]:
    """Return the options of `Settings`, some apart and some declared otherwise."""
    return {
        name: other.get(name, declared)
        for name, declared in SETTINGS.items()
        if name not in without
    }


def unset_options(**other: tuple[Any, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the options of `Settings`, each None unless it is given."""
    return {name: (declared[0], None) for name, declared in settings_options(**other).items()}


def scenario_options(
    *, without: Collection[str] = (), **other: tuple[Any, Any]
) -> Callable[[Command], Command]:
    """Give a command's parameter `scenario` the options that describe a scenario.

    Parameters
    ----------
    without : collection of str
        Fields that the command has no option for.
    **other : (annotation, default)
        Options declared otherwise.
    """
    options = {
        "arch": other.pop("arch", (Arch, REQUIRED)),
        "workload": other.pop("workload", (WorkloadName, REQUIRED)),
        **settings_options(without=without, **other),
    }
    return with_options(
        options,
        "scenario",
        lambda given: Scenario(
            **plain_settings(given), arch=given["arch"], workload=given["workload"]
        ),
    )


def comparison_options() -> Callable[[Command], Command]:
    """Give a command's parameter `asked` the options that describe a comparison."""
    options = {
        "workload": (Workloads, None),
        "arch": (Archs, None),
        "pair": (Pairs, None),
        **settings_options(without=["config"], **SEVERAL),
        "base": (Base, None),
        "budget": (Budgeted, Budget.none),
    }
    return with_options(
        options,
        "asked",
        _comparison,
    )


def _comparison(given: dict[str, Any]) -> ComparisonScenario:
    from archonsim.runs.comparison import every_pair, named_pairs

    settings = Settings(**plain_settings(given))
    archs, works, pairs = given["arch"], given["workload"], given["pair"]
    base, budget = given["base"], str(given["budget"])
    if pairs:
        if archs or works:
            raise SpecError("--pair names workloads and architectures; leave out -w and -a")
        return named_pairs(pairs, settings, base=base, budget=budget)
    if not (archs and works):
        raise SpecError("give -w WORKLOAD and -a ARCH,ARCH, or --pair WORKLOAD:ARCH,WORKLOAD:ARCH")
    return every_pair(archs, works, settings, base=base, budget=budget)
