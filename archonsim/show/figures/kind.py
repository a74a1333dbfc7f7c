"""What a kind of figure is: what it is drawn from, its options, and the function that draws it.

Kinds are found through the entry points of the group ``archonsim.figures``; the built-in ones take
the same path as a plug-in. ``docs/add-a-figure.md`` builds one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, get_args, get_type_hints

from archonsim.errors import ResultError, SpecError, nearest
from archonsim.plugins import FIGURES, load_plugin, plugin_names
from archonsim.result.compare import Comparison
from archonsim.result.report import Report
from archonsim.result.sweep_table import SweepTable
from archonsim.result.waterfall import Waterfall
from archonsim.show.figures.chart import Chart
from archonsim.show.figures.masks import Masks
from archonsim.show.figures.style import Size

Data = TypeVar("Data")
Options = TypeVar("Options")


@dataclass(frozen=True, slots=True)
class Source(Generic[Data]):
    """What a figure is drawn from; each is one of the constants below.

    Attributes
    ----------
    name : str
    what : str
        For messages: what must be given.
    """

    name: str
    what: str


#: One run.
RUN: Source[Report] = Source("run", "one run")
#: One or more runs.
RUNS: Source[tuple[Report, ...]] = Source("runs", "runs, or a comparison with its runs")
#: One comparison.
COMPARISON: Source[Comparison] = Source("comparison", "one comparison")
#: One waterfall.
WATERFALL: Source[Waterfall] = Source("waterfall", "one waterfall")
#: The table of a sweep, after ``--where`` and ``--over``.
SWEEP: Source[SweepTable] = Source("sweep", "the table of a sweep")
#: The masks of a workload.
MASKS: Source[Masks] = Source("masks", "a workload with masks")


@dataclass(frozen=True, slots=True)
class NoOptions:
    """The options of a figure that has none."""


@dataclass(frozen=True, kw_only=True)
class Figure(Generic[Data, Options]):
    """A kind of figure.

    Attributes
    ----------
    summary : str
        One line for ``archonsim plot``.
    source : Source
        What it is drawn from; `draw` gets it read and checked.
    draw : function of (data, options, size)
        Returns the chart.
    options : type
        A frozen dataclass; each field, ``Annotated`` with an :class:`Option`, is an option
        of the command.
    size : Size
        Where the figure stands by default.
    images : str
        Images that are simulated by default.
    """

    summary: str
    source: Source[Data]
    draw: Callable[[Data, Options, Size], Chart]
    options: type[Options]
    size: Size = Size.column
    images: str = "0"


@dataclass(frozen=True, slots=True)
class Option:
    """What the command line says of a field of a figure's options.

    A field whose type is a tuple of texts can be given several times; one whose type is an
    enumeration takes its values; one without a default must be given. The flag is the field's name.

    Attributes
    ----------
    help : str
        One sentence.
    metavar : str
        What stands for the value in the help.
    """

    help: str
    metavar: str = ""


def options_of(kind: Figure[Any, Any]) -> dict[str, tuple[Any, Option, Any]]:
    """Return type, description and default of a figure's options; MISSING for no default.

    Raises
    ------
    SpecError
        A field is not ``Annotated`` with an :class:`Option`.
    """
    hints = get_type_hints(kind.options, include_extras=True)
    found: dict[str, tuple[Any, Option, Any]] = {}
    for field in dataclasses.fields(kind.options):
        hint = hints[field.name]
        options = [one for one in getattr(hint, "__metadata__", ()) if isinstance(one, Option)]
        if len(options) != 1:
            raise SpecError(
                f"{kind.options.__name__}.{field.name}: it must be Annotated[TYPE, Option(HELP)]"
            )
        found[field.name] = (get_args(hint)[0], options[0], field.default)
    return found


def listed(text: str | None) -> list[str] | None:
    """Read names separated by commas; None where the option is not given."""
    return text.split(",") if text else None


def pairs(texts: Sequence[str], flag: str) -> dict[str, str]:
    """Read ``A=B`` texts.

    Raises
    ------
    ResultError
        One has no ``=``.
    """
    split = [text.partition("=") for text in texts]
    for name, mark, value in split:
        if not (name and mark and value):
            raise ResultError(f"{flag} {name + mark + value!r}: write NAME=VALUE")
    return {name: value for name, _, value in split}


def figure_names() -> list[str]:
    """Return the names of all registered kinds, sorted."""
    return plugin_names(FIGURES)


def figure(name: str) -> Figure[Any, Any]:
    """Return a registered kind of figure.

    Raises
    ------
    SpecError
        No kind of that name is registered, its plug-in does not load, or is none.
    """
    if name not in figure_names():
        raise SpecError(f"unknown figure {name!r}{nearest(name, figure_names())}")
    found = load_plugin(FIGURES, name)
    if not isinstance(found, Figure):
        raise SpecError(
            f"{FIGURES} entry point {name!r} is {type(found).__name__}; it must be a Figure"
            " (docs/add-a-figure.md)"
        )
    if not (dataclasses.is_dataclass(found.options) and isinstance(found.options, type)):
        raise SpecError(f"figure {name!r}: options is {found.options!r}; it must be a dataclass")
    return found
