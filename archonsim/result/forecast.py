"""What a command will take, before it starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from archonsim.errors import UserError
from archonsim.result.wording import number
from archonsim.stats.work import Work
from archonsim.trace.kept import DEFAULT_BYTES

#: A command says what it will take before it starts if that is more (own decision).
SAY_SECONDS, SAY_BYTES = 60.0, 2 << 30

#: No machine takes so many times as long as the reference machine (own decision): what is shorter
#: there than `SAY_SECONDS` over this is said without a look at how fast this machine is.
SLOWEST = 10

#: A command that takes longer says what to do about it (own decision).
LONG_SECONDS = 3600.0

#: Bytes of a process with everything imported and kernels loaded (measured: 200 to 260 MB).
BASE_BYTES = 250 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One workload on one machine, or in one command.

    Attributes
    ----------
    what : str
        Machine, or command.
    workload : str
    times : int
        Images, or points.
    steps : tuple of Work
        Of one of them.
    """

    what: str
    workload: str
    times: int
    steps: tuple[Work, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a command will take.

    Attributes
    ----------
    command : str
    parts : tuple of Part
    measure : function that returns a float
        Returns this machine's time of a short computation over the reference machine's.
    start_seconds : float
        Until the first step begins: imports, and kernels that are loaded.
    budget : int
        Bytes that the command may take.
    notes : tuple of str
        What is not in it.
    """

    command: str
    parts: tuple[Part, ...]
    measure: Callable[[], float]
    start_seconds: float
    budget: int
    notes: tuple[str, ...] = ()

    def _total(self, name: str) -> Any:
        return sum(
            part.times * sum(getattr(one, name) for one in part.steps) for part in self.parts
        )

    @property
    def candidates(self) -> int:
        """Candidates of all blocks, of each part once."""
        return sum(one.candidates for part in self.parts for one in part.steps)

    @property
    def beats(self) -> int:
        """Beats of all tiles and images."""
        return int(self._total("beats"))

    @property
    def events(self) -> int:
        """Events of the clock."""
        return int(self._total("events"))

    @property
    def speed(self) -> float:
        """How many times as long as the reference machine this one takes, measured."""
        return self.measure()

    @property
    def _reference_seconds(self) -> float:
        return float(self.start_seconds + self._total("seconds"))

    @property
    def seconds(self) -> float:
        """On an idle core of this machine."""
        return self.speed * self._reference_seconds

    @property
    def least_bytes(self) -> int:
        """Peak of the process if nothing is kept for later."""
        steps = [one for part in self.parts for one in part.steps]
        return BASE_BYTES + max((one.peak_bytes for one in steps), default=0)

    @property
    def bytes(self) -> int:
        """Peak of the process, with what is kept where there is room."""
        kept = sum(one.kept_bytes for part in self.parts for one in part.steps)
        return self.least_bytes + min(kept, 2 * kept_share(self.budget))

    @property
    def is_large(self) -> bool:
        """Whether to say it unasked."""
        if self.bytes > SAY_BYTES:
            return True
        return self._reference_seconds * SLOWEST > SAY_SECONDS and self.seconds > SAY_SECONDS

    def check(self) -> None:
        """Refuse what does not fit.

        Raises
        ------
        UserError
            With the numbers, and the largest step's name.
        """
        if self.bytes <= self.budget:
            return
        pairs = [(part, one) for part in self.parts for one in part.steps]
        what, advice = self.command, ""
        if pairs:
            part, step = max(pairs, key=lambda pair: pair[1].peak_bytes)
            what = f"{self.command} of {part.workload} ({part.what})"
            if step.candidates:
                advice = (
                    f"; {number(step.candidates)} fused weights of {step.name} are not zero: prune"
                    " it, or run it unfused (run --fuse advised)"
                )
        raise UserError(
            f"--memory: {what} takes about {bytes_text(self.bytes)}, and may take"
            f" {bytes_text(self.budget)}{advice}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "command": self.command,
            "candidates": self.candidates,
            "beats": self.beats,
            "events": self.events,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "budget_bytes": self.budget,
            "speed": round(self.speed, 3),
            "notes": list(self.notes),
            "parts": [
                {
                    "what": part.what,
                    "workload": part.workload,
                    "times": part.times,
                    "steps": [asdict(one) for one in part.steps],
                }
                for part in self.parts
            ],
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return one row a step, for CSV."""
        return [
            {"what": part.what, "workload": part.workload, "times": part.times} | asdict(one)
            for part in self.parts
            for one in part.steps
        ]


def kept_share(budget: int) -> int:
    """Return the bytes of a budget that may be kept for later: of groups, and of streams."""
    return min(budget // 8, DEFAULT_BYTES)


def largest(steps: Iterable[Work], most: int) -> Sequence[Work]:
    """Return the steps that take longest, in their order."""
    listed = list(steps)
    longest = sorted(listed, key=lambda one: one.seconds, reverse=True)[:most]
    return [one for one in listed if one in longest]


def bytes_text(count: float) -> str:
    """Write bytes for people."""
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def seconds_text(seconds: float) -> str:
    """Write a time for people."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
