"""Kinds of data, as machines' descriptions and counts name them."""

from __future__ import annotations

from dataclasses import dataclass

from archonsim.vocabulary.words import Word

#: Name of a kind of data; ``map`` is a predicted activation map (4 bit), ``mask`` holds keep bits.
DataKind = str

#: What an action is done for; ``compute`` for arithmetic, which serves several kinds at once.
ActionKind = str


@dataclass(frozen=True, kw_only=True)
class Kind(Word):
    """A kind of data.

    Attributes
    ----------
    owner : str
        Who owns, in a waterfall, the time that it takes in DRAM.
    moves : bool
        Whether it moves between memories; ``compute`` does not.
    """

    owner: str = "dram"
    moves: bool = True


KINDS: tuple[Kind, ...] = (
    Kind(name="input", order=10, colour="#56B4E9", meaning="input feature maps"),
    Kind(name="output", order=20, colour="#009E73", meaning="output feature maps"),
    Kind(name="weight", order=30, colour="#0072B2", meaning="weights", owner="weights"),
    Kind(name="psum", order=40, colour="#999933", meaning="partial sums"),
    Kind(name="mask", order=50, colour="#CC79A7", meaning="keep bits of a ReLU", owner="masks"),
    Kind(name="map", order=60, colour="#E69F00", meaning="a predicted activation map", owner="map"),
    Kind(
        name="compute",
        order=70,
        colour="#4F9AC9",
        meaning="arithmetic, which serves several kinds at once",
        moves=False,
    ),
)
