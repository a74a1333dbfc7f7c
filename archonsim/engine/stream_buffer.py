"""Room for what streams into a running tile."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import Any

from simpy import Event

from archonsim.engine.clock import Clock


class StreamBuffer:
    """Room for some chunks of the stream, between the DMA and the array.

    The DMA fills it, the array empties it.

    It makes an event of its own only when one side has to wait for the other to come that far: the
    end of a chunk in the array is what frees its place.

    Parameters
    ----------
    env : Clock
    chunks : int
        Capacity.
    """

    def __init__(self, env: Clock, chunks: int) -> None:
        self._env, self._chunks = env, chunks
        self._arrivals: deque[tuple[int, str]] = deque()
        self._releases: deque[Event] = deque()
        self._sent = 0
        self._wake: Event | None = None

    def room(self) -> Generator[Event, Any, None]:
        """Wait for a free place."""
        if self._sent >= self._chunks:
            if not self._releases:
                yield from self._sleep()
            yield self._releases.popleft()
        self._sent += 1

    def put(self, arrival: int, source: str) -> None:
        """Announce a chunk that has arrived in cycle `arrival`, the last words from `source`."""
        self._arrivals.append((arrival, source))
        self._rouse()

    def get(self) -> Generator[Event, Any, tuple[int, str]]:
        """Take the next chunk.

        Return when its data are there, and where the last of them come from.
        """
        if not self._arrivals:
            yield from self._sleep()
        return self._arrivals.popleft()

    def release(self, over: Event) -> None:
        """Give a chunk's place back when `over` happens."""
        self._releases.append(over)
        self._rouse()

    def _sleep(self) -> Generator[Event, Any, None]:
        self._wake = self._env.event()
        yield self._wake

    def _rouse(self) -> None:
        # Only one side can be asleep: the DMA for a chunk to begin, or the array for a chunk to be
        # sent.
        if self._wake is not None:
            wake, self._wake = self._wake, None
            wake.succeed()
