"""A chart: a matplotlib Figure that carries the table it shows, and writes both."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from archonsim.errors import ResultError
from archonsim.result.files import frame_to_csv, write_bytes
from archonsim.show.figures.style import QUIET, SLIDE_HEIGHT, Size, look, scale, width

if TYPE_CHECKING:
    import pandas as pd

TITLE_POINTS, SUBTITLE_POINTS = 8.0, 6.0
#: Mean width of a letter of DejaVu Sans, in its size; measured on the subtitles that we draw.
LETTER = 0.55
#: Slides' heights that a figure may need before it is squeezed onto one: beyond, names of bars
#: overlap.
MOST_SLIDES = 1.4
POINTS_PER_INCH = 72.0

#: No dates, no names of versions: the same figures, the same bytes.
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"Creator": "archonsim", "Producer": None, "CreationDate": None},
    "svg": {"Date": None, "Creator": "archonsim"},
}


class Chart(Figure):
    """A Figure with a head, and with exactly the numbers that it shows.

    Parameters
    ----------
    table : DataFrame
        One row for each mark.
    size : Size
    height : float
        Inches in a column, without the head; scaled with the size.
    title : str
    subtitle : str
        What was run, and on what masks; folded to the figure's width.

    Raises
    ------
    ResultError
        It does not fit a slide.
    """

    def __init__(
        self, table: pd.DataFrame, *, size: Size, height: float, title: str, subtitle: str = ""
    ) -> None:
        self.table, self.chart_size, self.title, self.subtitle = table, size, title, subtitle
        zoom, wide = scale(size), width(size)
        titles = textwrap.wrap(
            title, int(wide * POINTS_PER_INCH / (TITLE_POINTS * zoom * (LETTER + 0.1)))
        )
        lines = textwrap.wrap(
            subtitle, int(wide * POINTS_PER_INCH / (SUBTITLE_POINTS * zoom * LETTER))
        )
        title_inches = 1.3 * len(titles) * TITLE_POINTS * zoom / POINTS_PER_INCH
        head = (
            title_inches + 1.3 * len(lines) * SUBTITLE_POINTS * zoom / POINTS_PER_INCH + 0.1 * zoom
        )
        tall = height * zoom + head
        if size is Size.slide:
            if tall > MOST_SLIDES * SLIDE_HEIGHT:
                raise ResultError(
                    "too much for one slide, its lines would overlap; draw fewer, or choose --size"
                    " page"
                )
            tall = SLIDE_HEIGHT
        super().__init__(figsize=(wide, tall), layout="constrained")
        FigureCanvasAgg(self)
        engine = self.get_layout_engine()
        assert engine is not None
        engine.set(rect=(0.0, 0.0, 1.0, 1.0 - head / tall))  # type: ignore[call-arg]
        left, top = 0.05 * zoom / wide, 1 - 0.03 * zoom / tall
        self.text(
            left,
            top,
            "\n".join(titles),
            va="top",
            size=TITLE_POINTS * zoom,
            weight="bold",
            linespacing=1.25,
        )
        self.text(
            left,
            top - title_inches / tall,
            "\n".join(lines),
            va="top",
            size=SUBTITLE_POINTS * zoom,
            color=QUIET,
            linespacing=1.25,
        )

    def render(self, form: str) -> bytes:
        """Return the figure as ``png``, ``pdf`` or ``svg``; the same chart gives the same bytes."""
        data = io.BytesIO()
        with look(self.chart_size):
            self.savefig(data, format=form, metadata=_METADATA[form])
        return data.getvalue()

    def _repr_png_(self) -> bytes:
        """Show in a notebook, whether or not pyplot is at work there."""
        return self.render("png")

    def csv(self) -> str:
        """Return the table as text."""
        return frame_to_csv(self.table)

    def write(self, folder: Path | str, name: str) -> list[Path]:
        """Write ``NAME.png``, ``NAME.pdf`` and ``NAME.csv``; return their paths.

        Raises
        ------
        OutputError
            The folder is not writable.
        """
        forms = {"png": self.render("png"), "pdf": self.render("pdf"), "csv": self.csv().encode()}
        paths = [Path(folder) / f"{name}.{form}" for form in forms]
        for path, data in zip(paths, forms.values(), strict=True):
            write_bytes(path, data)
        return paths
