"""``archonsim plot KIND``.

Figures for papers and slides, each as PNG, PDF and the CSV of what is drawn. Kinds are found by
entry points; each declares what it is drawn from and its options, and becomes a command.

matplotlib and pandas are imported when a figure is drawn, so that no other command waits for them.
"""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_origin

import typer
from typer.core import TyperGroup
from typer.main import get_command

from archonsim.cli.common import say_written
from archonsim.cli.options import REQUIRED, with_options
from archonsim.cli.plot_sources import Options, Source, sources
from archonsim.cli.progress import stderr
from archonsim.errors import SpecError
from archonsim.plugins import FIGURES, plugin_names

if TYPE_CHECKING:
    from archonsim.show.figures import Chart, Figure


class Size(StrEnum):
    """Where a figure will stand."""

    column = "column"
    page = "page"
    slide = "slide"


Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the three files.")]
Name = Annotated[str | None, typer.Option("--name", help="Name of the files; the kind by default.")]
Where = Annotated[
    Size,
    typer.Option("--size", help="A paper's column (85 mm), its page (178 mm), or a slide (16:9)."),
]


class Kinds(TyperGroup):
    """A command for each registered kind of figure, made when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all kinds."""
        return plugin_names(FIGURES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of a kind; of a plug-in that does not load, one that says so."""
        if cmd_name not in plugin_names(FIGURES):
            return None
        try:
            return _command(cmd_name)
        except SpecError as error:
            return _broken(cmd_name, error)


app = typer.Typer(
    name="plot",
    add_completion=False,
    cls=Kinds,
    help="Draw results: PNG, PDF and the CSV of exactly what is drawn.",
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def kinds(context: typer.Context) -> None:
    """Draw results: PNG, PDF and the CSV of exactly what is drawn."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _command(name: str) -> Any:
    """Build a kind's command from what it declares."""
    from archonsim.show.figures import figure

    kind = figure(name)
    source = sources(kind)[kind.source.name]
    chosen = _chosen(kind)
    common: Options = {"size": (Where, Size(kind.size.value)), "name": (Name, None)}
    options = source.options | chosen | common
    taken = [one for one in chosen if one in source.options or one in (*common, "output")]
    if taken:
        raise SpecError(f"figure {name!r}: option {taken[0]!r} is one that every such figure has")

    def draw(output: Output, given: dict[str, Any]) -> None:
        write(_chart(kind, source, dict(given)), output, given["name"] or name)

    made = typer.Typer(rich_markup_mode=None, add_completion=False)
    made.command(name, help=kind.summary)(with_options(options, "given", dict)(draw))
    return get_command(made)


def _chart(kind: Figure[Any, Any], source: Source, given: dict[str, Any]) -> Chart:
    """Read or simulate what a figure is drawn from, and draw it."""
    from archonsim.show.figures import Size as FigureSize

    del given["name"]
    size = FigureSize(given.pop("size").value)
    own = {field.name: given.pop(field.name) for field in dataclasses.fields(kind.options)}
    options = kind.options(
        **{name: tuple(value) if isinstance(value, list) else value for name, value in own.items()}
    )
    return source.draw(given, lambda data: kind.draw(data, options, size))


def _chosen(kind: Figure[Any, Any]) -> Options:
    """Return the options that a kind declares, as typer takes them."""
    from archonsim.show.figures.kind import options_of

    options: Options = {}
    for name, (declared, about, default) in options_of(kind).items():
        flag = f"--{name.replace('_', '-')}"
        annotation = list[str] if get_origin(declared) is tuple else declared
        option = typer.Option(flag, help=about.help, metavar=about.metavar or None)
        options[name] = (
            Annotated[annotation, option],
            REQUIRED
            if default is dataclasses.MISSING
            else list(default)
            if isinstance(default, tuple)
            else default,
        )
    return options


def _broken(name: str, error: SpecError) -> Any:
    """Return a command that says why a kind's plug-in does not load."""
    made = typer.Typer(rich_markup_mode=None, add_completion=False)

    def fail() -> None:
        raise error

    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    made.command(name, help="does not load; run it to see why", context_settings=settings)(fail)
    return get_command(made)


def write(chart: Chart, output: Path, name: str) -> None:
    """Write a figure and say where it is."""
    with stderr.status(f"drawing {name}"):
        paths = chart.write(output, name)
    say_written(paths)
