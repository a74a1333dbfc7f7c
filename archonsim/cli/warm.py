"""``archonsim warm``: compile kernels ahead."""

from __future__ import annotations

from pathlib import Path

from archonsim.cli.progress import StepProgress, stderr
from archonsim.runs.warm import scenarios, warm


def warm_command() -> None:
    """Compile all kernels, so that no later run waits for it.

    Compiled code is kept beside the package or in a cache of the user; a later version of the
    package compiles anew. Any number of processes may do so at once.
    """
    with StepProgress("compiling kernels", len(scenarios(Path()))) as progress:
        warm(progress.step, lambda fault: stderr.print(fault, style="dim"))
    stderr.print("all kernels are compiled", style="dim")
