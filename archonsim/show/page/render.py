"""From a page's data to one HTML file: style, scripts, figures and data are inside it."""

from __future__ import annotations

import re
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from archonsim.show.page.model import Page, Picture
from archonsim.version import __version__

#: Colours that follow the reader's scheme.
_THEMED = {
    "#000000": "currentColor", "#222222": "currentColor", "#ffffff": "var(--card)",
    "#d0d0d0": "var(--grid)", "#5f5f5f": "var(--quiet)", "#4d4d4d": "var(--work)",
    "#eeeeee": "var(--grid)",
}  # fmt: skip


def _svg(picture: Picture) -> Markup:
    """Return a figure as inline SVG.

    Its size follows the page, its ink the scheme, its ids are its own.
    """
    text = picture.chart.render("svg").decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    prefix = f"{picture.name}-"
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}\1)", text)
    for color, variable in _THEMED.items():
        text = re.sub(re.escape(color), variable, text, flags=re.IGNORECASE)
    return Markup(
        text.replace("<svg", f'<svg role="img" aria-label="{Markup.escape(picture.alt)}"', 1)
    )


def _asset(name: str) -> Markup:
    return Markup((resources.files("archonsim.show.page") / "assets" / name).read_text("utf-8"))


def render(page: Page) -> str:
    """Return the whole file; the same page gives the same bytes."""
    environment = Environment(
        loader=PackageLoader("archonsim.show.page", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    scripts = [_asset(name) for name in ("tables.js", "canvas.js", "timeline.js", "scatter.js")]
    return environment.get_template("page.html.j2").render(
        page=page, style=_asset("page.css"), scripts=scripts, svg=_svg, version=__version__
    )
