"""What the site adds to ``docs/``: pages of the top folder, and files that pages link to.

Pages link to each other as they lie in the repository, so that they can be read there, too. Here
each relative link is turned into one within the site: a page stands in :data:`PAGES` or in
``docs/``; of any other file the site gets a copy, under ``files/``; a folder has no page, and its
link becomes plain text.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]

#: Files outside of ``docs/`` that are pages, and their names in the site.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "studies.md",
    "workloads/README.md": "workloads.md",
}

#: Each page's name in the navigation.
NAVIGATION = {
    page: name
    for name, page in re.findall(
        r"^ +- (.+): (\S+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE
    )
}

#: Code, which holds no links; or a link or image with a relative target.
PIECES = re.compile(
    r"(?P<code>^```.*?^```|`[^`\n]+`)"
    r"|(?P<mark>!?)\[(?P<text>(?:`[^`\n]*`|[^\[\]`])*)\]"
    r"\((?P<target>(?![a-z]+:|#)[^)\s#]+)(?P<anchor>#[^)\s]*)?\)",
    re.MULTILINE | re.DOTALL,
)
#: A role of a docstring, as Markdown leaves it.
ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):<code>~?(?:[\w.]+\.)?(\w+)</code>")


def placed(name: str) -> str:
    """Where a file of the repository lies in the site."""
    if name in PAGES:
        return PAGES[name]
    return name.removeprefix("docs/") if name.startswith("docs/") else f"files/{name}"


def title(name: str) -> str:
    """Name of a page in the navigation, for links that are its file name: nobody sees files."""
    return str(NAVIGATION[placed(name)])


def relinked(text: str, source: str, copies: set[str]) -> str:
    """Turn the links of a page's Markdown into the site's.

    `source` is where the page lies in the repository; files of which the site needs a copy are
    added to `copies`, by their names in the repository.
    """
    here = Path(placed(source)).parent

    def link(match: re.Match[str]) -> str:
        if match["code"]:
            return match[0]
        path = (ROOT / source).parent / unquote(match["target"])
        name = os.path.relpath(path.resolve(), ROOT).replace(os.sep, "/")
        if path.is_dir():
            return match["text"]
        at = placed(name)
        if at.startswith("files/"):
            copies.add(name)
        target = os.path.relpath(at, here).replace(os.sep, "/")
        text = match["text"]
        if name.endswith(".md") and text.strip("`").endswith(Path(name).name):
            text = title(name)
        return f"{match['mark']}[{text}]({target}{match['anchor'] or ''})"

    return PIECES.sub(link, text)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the top folder, and copies of the files that any page links to."""
    for name, at in PAGES.items():
        files.append(File.generated(config, at, abs_src_path=str(ROOT / name)))
    copies: set[str] = set()
    for file in files.documentation_pages():
        relinked(file.content_string, _source(file), copies)
    for name in sorted(copies):
        files.append(File.generated(config, placed(name), abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn a page's links into the site's."""
    return relinked(markdown, _source(page.file), set())


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Show the roles of docstrings (``:class:`~archonsim.errors.UserError```) as plain names."""
    return ROLE.sub(r"<code>\1</code>", html)


def _source(file: File) -> str:
    """Where a page lies in the repository."""
    return {at: name for name, at in PAGES.items()}.get(file.src_uri, f"docs/{file.src_uri}")
