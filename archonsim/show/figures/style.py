"""The one look: sizes for a column, a page and a slide.

A colour and a hatch for every phase, owner of stalls and machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from typing import Any

import matplotlib as mpl

from archonsim.vocabulary import known
from archonsim.vocabulary.words import plain_colour


class Size(StrEnum):
    """Where a figure will stand.

    A paper's column (85 mm), its whole page (178 mm), or a slide (16:9).
    """

    column = "column"
    page = "page"
    slide = "slide"


#: Width in inches, and how much larger than in a column everything is drawn.
_GEOMETRY: dict[Size, tuple[float, float]] = {
    Size.column: (3.35, 1.0),
    Size.page: (7.0, 1.0),
    Size.slide: (10.0, 1.6),
}
#: Letters of a name next to an axis.
MOST_LETTERS = 34
#: No slide is taller: 16:9.
SLIDE_HEIGHT = 5.625
_SCALED = (
    "font.size", "axes.titlesize", "axes.labelsize", "xtick.labelsize", "ytick.labelsize",
    "legend.fontsize", "legend.title_fontsize", "axes.linewidth", "grid.linewidth",
    "xtick.major.width", "ytick.major.width", "xtick.minor.width", "ytick.minor.width",
    "xtick.major.size", "ytick.major.size", "xtick.minor.size", "ytick.minor.size",
    "lines.linewidth", "lines.markersize", "patch.linewidth", "hatch.linewidth", "errorbar.capsize",
)  # fmt: skip


def width(size: Size) -> float:
    """Width of a figure in inches."""
    return _GEOMETRY[size][0]


def scale(size: Size) -> float:
    """How much larger than in a column text and lines are."""
    return _GEOMETRY[size][1]


@contextmanager
def look(size: Size) -> Iterator[None]:
    """Draw in the shipped style, whatever the user's own matplotlib settings are.

    They are back afterwards.
    """
    style = resources.files("archonsim.show.figures") / "archonsim.mplstyle"
    with mpl.rc_context(), resources.as_file(style) as path:
        mpl.rcdefaults()
        # Keys are plain strings here; matplotlib's stubs of 3.11 on list them one by one.
        settings: Any = mpl.rcParams
        settings.update(mpl.rc_params_from_file(path, use_default_template=False))
        settings.update({key: settings[key] * scale(size) for key in _SCALED})
        yield


@dataclass(frozen=True, slots=True)
class Fill:
    """How a kind of thing is filled.

    Attributes
    ----------
    color : str
    hatch : str
        Empty for work, lines for waiting: stalls differ from work in any print.
    label : str
        In legends.
    """

    color: str
    hatch: str
    label: str

    def bar(self) -> dict[str, Any]:
        """Keywords of a bar."""
        return {"facecolor": self.color, "hatch": self.hatch, "edgecolor": INK}


INK = "#222222"
QUIET = "#5F5F5F"

MACHINES: dict[str, Fill] = {
    "archon": Fill("#0072B2", "", "ARCHON"),
    "dense": Fill("#BBBBBB", "", "dense"),
    "sparse": Fill("#E69F00", "", "sparse"),
    "systolic": Fill("#009E73", "", "systolic"),
    "fuse": Fill("#CC79A7", "", "FuSe"),
}


def brief(name: str) -> str:
    """Cut the middle out of a name that would leave no room for what it names."""
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 14]}…{name[-13:]}"


def phase_fill(phase: str) -> Fill:
    """How a phase's work is drawn.

    Phases that no machine declares get a colour of their own, always the same.
    """
    word = known.phase(phase)
    return Fill(word.colour, "", word.title)


def stall_fill(cause: str) -> Fill:
    """How a cause of stalls is drawn."""
    word = known.stall(cause)
    return Fill(word.colour, word.hatch, word.label)


def machine_fill(arch: str) -> Fill:
    """How a machine is drawn."""
    if arch in MACHINES:  # without loading the machine
        return MACHINES[arch]
    words = known.declared(arch)
    return Fill(words.colour or plain_colour(arch), "", words.title or arch)
