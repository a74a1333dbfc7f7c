"""What benchmarks beside other simulators share: networks and other interpreters."""

from __future__ import annotations

import subprocess
from pathlib import Path

from archonsim.network.layer import Layer
from archonsim.network.networks import find_network

#: ResNet-18 is not shipped with the package; its shapes lie beside the scripts.
RESNET18 = "resnet18"
HERE = Path(__file__).parent


def compute_layers(name: str) -> list[Layer]:
    """Return the compute layers of a network by name, or of a table or topology."""
    work = find_network(str(HERE / "resnet18.toml") if name == RESNET18 else name)
    return [layer for layer in work.layers() if layer.is_compute]


def script(python: str, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in another interpreter; it may import :mod:`peak`."""
    command = [python, "-c", f"import sys; sys.path.insert(0, {str(HERE)!r})\n{code}", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def missing(python: str, module: str) -> str | None:
    """Say why an interpreter cannot import a module; None if it can."""
    try:
        done = script(python, f"import {module}")
    except OSError as error:
        return f"{python}: {error.strerror}"
    lines = done.stderr.strip().splitlines()
    return f"{python}: {lines[-1] if lines else 'failed'}" if done.returncode else None
