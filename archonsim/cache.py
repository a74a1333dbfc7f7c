"""Where the package keeps what is worth keeping between runs, and its own small JSON files there.

The folder is ``$ARCHONSIM_CACHE_DIR``, else ``$XDG_CACHE_HOME/archonsim``, else
``~/.cache/archonsim``. Files are written atomically, so any number of processes may read and write
at once. A damaged file, or one with another key, counts as absent; a folder that cannot be written
costs time only.

numba and matplotlib keep files of their own, and numba refuses to define a kernel where it finds no
place for them: :func:`settle` finds one before either is imported.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import sys
import tempfile
from pathlib import Path
from typing import Any

from archonsim.atomic import replacing
from archonsim.errors import OutputError

DIRECTORY_VARIABLE = "ARCHONSIM_CACHE_DIR"


def cache_dir() -> Path:
    """Return the folder; it need not exist yet."""
    if own := os.environ.get(DIRECTORY_VARIABLE):
        return Path(own)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "archonsim"
    return (_home() or _private_temporary()) / ".cache" / "archonsim"


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # neither $HOME nor an entry in the system's list of users
        return None


def is_usable(folder: Path) -> bool:
    """Whether a folder can be written, or made: its nearest ancestor that exists lets us in."""
    for path in (folder, *folder.parents):
        if os.path.lexists(path):
            return path.is_dir() and os.access(path, os.W_OK | os.X_OK)
    return False


def _private_temporary() -> Path:
    """Return a temporary folder of this user alone, the same one in each run.

    Compiled code is loaded from it, so a folder that another user could have made is not taken.
    """
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"archonsim-{user}"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        ours = not hasattr(os, "getuid") or status.st_uid == user
        if stat.S_ISDIR(status.st_mode) and ours and not status.st_mode & 0o022:
            return folder
    return Path(tempfile.mkdtemp(prefix="archonsim-"))


def _own_place(name: str) -> Path:
    place = cache_dir() / name
    return place if is_usable(place) else _private_temporary() / name


def settle() -> str:
    """Give numba and matplotlib folders of their own where theirs cannot be written.

    Must be called before a kernel is defined and before matplotlib is imported.

    Returns
    -------
    str
        One line that says where compiled kernels are kept; empty where numba has a place.
    """
    home = _home() or Path("/nonexistent")
    caches = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    configs = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    if not os.environ.get("MPLCONFIGDIR") and not (
        is_usable(configs / "matplotlib") and is_usable(caches / "matplotlib")
    ):
        os.environ["MPLCONFIGDIR"] = str(_own_place("matplotlib"))
    asked = os.environ.get("NUMBA_CACHE_DIR")
    in_tree = Path(__file__).parent / "pe" / "__pycache__"
    # numba's own order; each of its files goes to the first of these that can be written.
    if any(map(is_usable, [*([Path(asked)] if asked else []), in_tree, caches / "numba"])):
        return ""
    place = _own_place("numba")
    os.environ["NUMBA_CACHE_DIR"] = str(place)
    if "numba" in sys.modules:  # which has read its environment
        sys.modules["numba"].config.CACHE_DIR = str(place)
    return f"no place for compiled kernels beside the package or at home; they are kept in {place}"


#: What :func:`settle` said when the package was imported.
SETTLED = settle()


def _path(topic: str, key: str) -> Path:
    return cache_dir() / topic / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def _canonical(key: Any) -> str:
    return json.dumps(key, sort_keys=True, separators=(",", ":"))


def load(topic: str, key: Any) -> Any:
    """Return what was stored for a key (plain JSON data), or None."""
    text = _canonical(key)
    try:
        entry = json.loads(_path(topic, text).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return entry.get("value") if isinstance(entry, dict) and entry.get("key") == text else None


def store(topic: str, key: Any, value: Any) -> None:
    """Keep a value (plain JSON data) for a key, if the folder can be written."""
    text = _canonical(key)
    path = _path(topic, text)
    entry = json.dumps({"key": text, "value": value})
    with contextlib.suppress(OutputError), replacing(path) as file:
        file.write(entry.encode())
