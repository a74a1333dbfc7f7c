"""What is worked out once and kept for the next image or machine, as long as it fits."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

#: Bytes that results of a kind share (own decision); a command with ``--memory`` sets its own.
DEFAULT_BYTES = 1 << 29

#: Results that are kept at most (own decision): groups and mappings of two networks of 80 blocks. A
#: network that has more works each of them out again for each image. What they were worked out
#: from, such as a trace, stays with them and is not counted.
MOST_RESULTS = 320


class Kept:
    """Results by their keys, the ones used longest ago given up first.

    Parameters
    ----------
    limit : int
        Bytes.
    """

    def __init__(self, limit: int = DEFAULT_BYTES) -> None:
        self._limit, self._bytes = limit, 0
        self._found: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    @property
    def limit_bytes(self) -> int:
        """Bytes that may be kept."""
        return self._limit

    @property
    def bytes(self) -> int:
        """Bytes of what is kept."""
        return self._bytes

    def limit(self, limit: int) -> None:
        """Set how many bytes may be kept from now on."""
        self._limit = limit
        self._shrink()

    def get(self, key: Hashable, make: Callable[[], Any], size: Callable[[Any], int]) -> Any:
        """Return a result, made if it is not kept; `size` says how many bytes it takes."""
        if key in self._found:
            self._found.move_to_end(key)
            return self._found[key][0]
        made = make()
        taken = size(made)
        if taken <= self._limit:
            self._found[key] = made, taken
            self._bytes += taken
            self._shrink()
        return made

    def _shrink(self) -> None:
        while self._found and (self._bytes > self._limit or len(self._found) > MOST_RESULTS):
            _, (_, size) = self._found.popitem(last=False)
            self._bytes -= size


#: Groups and mappings of blocks.
KEPT = Kept()
