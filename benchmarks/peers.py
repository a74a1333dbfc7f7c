"""What benchmarks beside other simulators share: networks, other interpreters, peaks of memory."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

from archonsim.network.layer import Layer
from archonsim.network.networks import find_network

#: ResNet-18 is not shipped with the package; its shapes lie beside the scripts.
RESNET18 = "resnet18"
_TABLE = Path(__file__).parent / "resnet18.toml"


def compute_layers(name: str) -> list[Layer]:
    """Return the compute layers of a network by name, or of a table or topology."""
    work = find_network(str(_TABLE) if name == RESNET18 else name)
    return [layer for layer in work.layers() if layer.is_compute]


def peak_mb() -> float:
    """Return this process's peak of memory in MB.

    ``ru_maxrss`` starts, on Linux, at that of the process that started this one; ``VmHWM`` does
    not.
    """
    status = Path("/proc/self/status")
    for line in status.read_text("utf-8").splitlines() if status.exists() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def missing(python: str, module: str) -> str | None:
    """Say why an interpreter cannot import a module; None if it can."""
    try:
        done = subprocess.run([python, "-c", f"import {module}"], capture_output=True, text=True)
    except OSError as error:
        return f"{python}: {error.strerror}"
    lines = done.stderr.strip().splitlines()
    return f"{python}: {lines[-1] if lines else 'failed'}" if done.returncode else None
