"""A forecast on a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from archonsim.result.forecast import (
    LONG_SECONDS,
    Forecast,
    Part,
    bytes_text,
    largest,
    seconds_text,
)
from archonsim.result.wording import number
from archonsim.show.terminal.style import new_table
from archonsim.stats.work import Work

#: What to do about a run of hours.
REMEDY = "prune the weights, run fewer images, or leave blocks unfused (run --fuse advised)"

#: Steps that are shown of a part: those that take longest.
SHOWN = 24


def _row(table: Table, name: str, work: Work, speed: float) -> None:
    table.add_row(
        name,
        number(work.candidates) if work.candidates else "",
        number(work.beats) if work.beats else "",
        number(work.events) if work.events else "",
        bytes_text(work.peak_bytes) if work.peak_bytes else "",
        seconds_text(work.seconds * speed),
    )


def _part(part: Part, speed: float) -> RenderableType:
    times = f", {part.times} times" if part.times > 1 else ""
    title = f"{part.workload}, {part.what}{times}"
    table = new_table(
        ("step",),
        ("candidates", "beats", "events", "memory", "time"),
        title=title,
        bold_title=True,
    )
    shown = largest((one for one in part.steps if one.candidates), SHOWN) or largest(
        part.steps, SHOWN
    )
    for one in shown:
        _row(table, one.name, one, speed)
    others = [one for one in part.steps if one not in shown]
    if others:
        rest = Work(
            name="",
            events=sum(one.events for one in others),
            seconds=sum(one.seconds for one in others),
        )
        _row(table, f"{len(others)} others", rest, speed)
    return table


def summary(forecast: Forecast) -> str:
    """Say in one line what a command will take."""
    told = (
        f"{forecast.command} will take about {seconds_text(forecast.seconds)} on an idle core and"
        f" {bytes_text(forecast.bytes)} of memory"
    )
    return told + (f": {REMEDY}" if forecast.seconds > LONG_SECONDS and forecast.beats else "")


def render_forecast(forecast: Forecast) -> RenderableType:
    """Show what a command will take, step by step and in all."""
    head = Text(f"forecast of {forecast.command}; nothing is run", style="bold")
    counts = [
        f"{number(count)} {name}"
        for count, name in (
            (forecast.candidates, "candidates"),
            (forecast.beats, "beats"),
            (forecast.events, "events"),
        )
        if count
    ]
    end = Text(
        f"in all {', '.join([*counts, ''])}about {seconds_text(forecast.seconds)} on an idle core"
        f" and {bytes_text(forecast.bytes)} of memory ({bytes_text(forecast.budget)} allowed)",
        style="bold",
    )
    end.append(
        f"\nthis machine takes {forecast.speed:.2f} times as long as the one that constants were"
        " measured on (tried just now)",
        style="not bold",
    )
    for note in forecast.notes:
        end.append(f"\n{note}", style="not bold")
    parts = [piece for part in forecast.parts for piece in (Text(), _part(part, forecast.speed))]
    return Group(head, *parts, Text(), end)
