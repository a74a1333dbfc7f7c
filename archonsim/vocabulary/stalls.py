"""Why an array that could work does not."""

from __future__ import annotations

from dataclasses import dataclass

from archonsim.vocabulary.words import Word, plain_hatch


@dataclass(frozen=True, kw_only=True)
class Stall(Word):
    """A cause of stalls.

    Attributes
    ----------
    owner : str
        Who owns its cycles in a waterfall. Empty for waits for memory alone: their owners are found
        by runs on machines whose memory takes no time.
    hatch : str
        In figures, in matplotlib's notation: stalls differ from work in any print.
    wait : str
        What a timeline calls it where the array waits between two tiles; without one, the title.
    """

    owner: str = ""
    hatch: str = ""
    wait: str = ""

    def __post_init__(self) -> None:
        """Fill in what is left out."""
        Word.__post_init__(self)
        if not self.hatch:
            object.__setattr__(self, "hatch", plain_hatch(str(self.name)))
        if not self.wait:
            object.__setattr__(self, "wait", self.title)

    @property
    def label(self) -> str:
        """In legends."""
        return f"stall: {self.title}"


STALLS: tuple[Stall, ...] = (
    Stall(
        name="broadcast",
        title="full FIFO",
        meaning="a beat waited for a full FIFO",
        order=10,
        colour="#D55E00",
        hatch="////",
        owner="imbalance",
    ),
    Stall(
        name="dram",
        title="DRAM",
        meaning="waits for data from or to DRAM",
        order=20,
        colour="#E69F00",
        hatch="\\\\\\\\",
    ),
    Stall(
        name="glb",
        title="on-chip port",
        meaning="waits for a port of an on-chip buffer",
        order=30,
        colour="#F0E442",
        hatch="....",
        wait="on-chip ports",
    ),
    Stall(
        name="drain",
        title="drain",
        meaning="all beats sent, sums still on their way",
        order=40,
        colour="#CC79A7",
        hatch="xxxx",
        owner="drain",
    ),
)
