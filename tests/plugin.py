"""Plug-ins of tests, installed as a module and a dist-info folder with entry points."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from archonsim import plugins
from archonsim.machines import registry
from archonsim.spec import technology
from archonsim.vocabulary import known


def write_plugin(
    folder: Path, files: Mapping[str, str], points: Mapping[str, str], group: str = plugins.MACHINES
) -> None:
    """Write modules and other files, and register `points` (name to ``module:object``)."""
    for name, text in files.items():
        (folder / name).write_text(text)
    info = folder / "test_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: test-plugin\nVersion: 1.0\n")
    lines = "".join(f"{name} = {value}\n" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")


def _forget() -> None:
    """Forget what was found, so that it is looked for again."""
    plugins._group.cache_clear()
    registry._loaded.cache_clear()
    known.declared.cache_clear()
    known.registered.cache_clear()
    technology.load_technology.cache_clear()
    importlib.invalidate_caches()


@contextlib.contextmanager
def installed(folder: Path) -> Iterator[None]:
    """Let this process find the plug-ins of a folder."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    _forget()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if (folder / f"{name}.py").exists():
                del sys.modules[name]
        _forget()
