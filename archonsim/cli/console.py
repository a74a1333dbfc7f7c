"""The consoles that commands print to: what users wrote is shown as it is.

Neither markup nor emoji codes are read, and control characters that a name or a note holds are
shown, not sent. This is the one place where that is done for terminals.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from archonsim.visible import visible


class PlainConsole(Console):
    """A console for texts of users.

    Parameters
    ----------
    stderr, soft_wrap : bool
    width : int or None
        Characters of a line; None for the terminal's.
    """

    def __init__(
        self, *, stderr: bool = False, soft_wrap: bool = False, width: int | None = None
    ) -> None:
        super().__init__(
            stderr=stderr,
            soft_wrap=soft_wrap,
            width=width,
            markup=False,
            emoji=False,
            highlight=False,
        )

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render as rich does, then replace control characters in what is not rich's own."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            shown = text if control else visible(text)
            yield segment if shown is text else Segment(shown, style)
