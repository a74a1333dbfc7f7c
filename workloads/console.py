"""Training progress on standard error."""

from __future__ import annotations

import time
from typing import SupportsFloat

from rich.console import Console


class ConsoleReporter:
    """Progress on standard error.

    A line that overwrites itself on a terminal, a line every 30 seconds elsewhere.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._shown, self._started, self._first = 0.0, time.monotonic(), 0
        self._phase = ""

    def step(self, phase: str, step: int, steps: int, loss: SupportsFloat, rate: float) -> None:
        """Show one step, if it is time to."""
        now = time.monotonic()
        if phase != self._phase or step <= self._first:
            # The first step of a phase may include compiling; it is no measure of speed.
            self._phase, self._first, self._started = phase, step, now
            return
        live = self._console.is_terminal
        if step < steps and now - self._shown < (0.2 if live else 30.0):
            return
        self._shown = now
        speed = (step - self._first) / max(now - self._started, 1e-9)
        left = (steps - step) / speed / 60
        text = (
            f"{phase}: step {step}/{steps}  loss {float(loss):.3f}  rate {rate:.4f}  {speed:.2f}"
            f" steps/s  {left:.1f} min left"
        )
        self._console.print(
            text, end="\r" if live and step < steps else "\n", highlight=False, soft_wrap=True
        )

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


class Silent:
    """Reports nothing: what processes beside the first have."""

    def step(self, phase: str, step: int, steps: int, loss: SupportsFloat, rate: float) -> None:
        """Say nothing of a step."""

    def say(self, text: str) -> None:
        """Say nothing."""
