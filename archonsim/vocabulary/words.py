"""What a word of the vocabulary is, and the colour of an undeclared one."""

from __future__ import annotations

from dataclasses import dataclass

#: Colours and hatches of words without any of their own.
_COLOURS = ("#E6B8A2", "#B3CDE3", "#CCEBC5", "#DECBE4", "#FED9A6", "#E5D8BD")
_HATCHES = ("++++", "||||", "----", "oooo", "****", "\\\\//")

#: Place of a word that says nothing of its order: behind the common ones.
LAST = 1000


@dataclass(frozen=True, kw_only=True)
class Word:
    """A name that results use, and how people are shown it.

    Attributes
    ----------
    name : str
        Key in JSON and CSV, and in counts: lower-case letters, digits and underscores.
    title : str
        For people; without one, the name with spaces for underscores.
    meaning : str
        One sentence.
    order : int
        Place among words of its sort, smaller first; equal ones in the order of declaration.
    colour : str
        ``#rrggbb``; without one, a pale colour that is always the same for the same name.
    """

    name: str
    title: str = ""
    meaning: str = ""
    order: int = LAST
    colour: str = ""

    def __post_init__(self) -> None:
        """Fill in what is left out."""
        if not self.title:
            object.__setattr__(self, "title", str(self.name).replace("_", " "))
        if not self.colour:
            object.__setattr__(self, "colour", plain_colour(str(self.name)))


def plain_colour(name: str) -> str:
    """Return a pale colour that is always the same for the same name."""
    return _COLOURS[_number(name)]


def plain_hatch(name: str) -> str:
    """Return a hatch that is always the same for the same name."""
    return _HATCHES[_number(name)]


def _number(name: str) -> int:
    return sum(name.encode()) % len(_COLOURS)
