"""SimPy's environment, with a count of what it does."""

from __future__ import annotations

from simpy import Environment


class Clock(Environment):
    """The simulation's time, in cycles of the array.

    Parameters
    ----------
    now : int
        Where it starts.

    Attributes
    ----------
    events : int
        Events processed so far.
    """

    def __init__(self, now: int = 0) -> None:
        super().__init__(now)
        self.events = 0

    def step(self) -> None:
        """Process the next event."""
        self.events += 1
        super().step()
