"""Results that are worth keeping between runs: small JSON files named by what they depend on.

The folder is ``$ARCHONSIM_CACHE_DIR``, else ``$XDG_CACHE_HOME/archonsim``, else
``~/.cache/archonsim``. A file appears whole or not at all (it is written beside its place and
renamed), so any number of processes may read and write at once; a damaged file, or one that belongs
to another question, counts as absent, and a folder that cannot be written costs time only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

DIRECTORY_VARIABLE = "ARCHONSIM_CACHE_DIR"


def cache_dir() -> Path:
    """Return the folder; it need not exist yet."""
    if own := os.environ.get(DIRECTORY_VARIABLE):
        return Path(own)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "archonsim"
    return Path("~/.cache/archonsim").expanduser()


def _path(topic: str, key: str) -> Path:
    return cache_dir() / topic / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def _canonical(key: Any) -> str:
    return json.dumps(key, sort_keys=True, separators=(",", ":"))


def load(topic: str, key: Any) -> Any:
    """Return what was stored for a key (plain JSON data), or None."""
    text = _canonical(key)
    try:
        entry = json.loads(_path(topic, text).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return entry.get("value") if isinstance(entry, dict) and entry.get("key") == text else None


def store(topic: str, key: Any, value: Any) -> None:
    """Keep a value (plain JSON data) for a key, if the folder can be written."""
    text = _canonical(key)
    path = _path(topic, text)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"key": text, "value": value}, file)
            Path(temporary).replace(path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
