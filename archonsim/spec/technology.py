"""A technology: picojoules of every action of every component, from a TOML file.

``archonsim/data/technologies`` has one. Components are the common ones, and those that a registered
machine declares.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import field
from functools import cache
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from archonsim.errors import SpecError, nearest
from archonsim.spec.parts import CONFIG, Count
from archonsim.spec.shipped import load_shipped
from archonsim.vocabulary.known import registered
from archonsim.vocabulary.vocabulary import COMMON, Vocabulary

Picojoules = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class Memory:
    """A memory, or several that differ in size only.

    Attributes
    ----------
    access_words : int
        16-bit words of one access.
    read, write : tuple of float
        pJ of one access, for each size.
    words : tuple of int
        Sizes in 16-bit words, rising; may be left out where one energy holds for all.
    """

    access_words: Count
    read: Annotated[tuple[Picojoules, ...], Field(min_length=1)]
    write: Annotated[tuple[Picojoules, ...], Field(min_length=1)]
    words: tuple[Count, ...] = ()

    def __post_init__(self) -> None:
        sizes = max(1, len(self.words))
        if len(self.read) != sizes or len(self.write) != sizes:
            raise ValueError(
                f"{len(self.read)} read and {len(self.write)} write energies for {sizes} sizes;"
                " give one for each"
            )
        if list(self.words) != sorted(set(self.words)):
            raise ValueError(f"words are {list(self.words)}; sizes must rise")

    def at(self, action: str, words: int) -> float:
        """Return the energy of one access of a memory of `words`, in pJ.

        Between two known sizes, and beyond them along the nearest two, energy is a power of the
        size (own decision: it is that within 1 % for the three published GLBs); one known size
        holds for all.
        """
        values = self.read if action == "read" else self.write
        if len(values) == 1:
            return values[0]
        high = min(max(bisect_right(self.words, words), 1), len(values) - 1)
        if words == self.words[high]:  # exactly, not to the last bit
            return values[high]
        low = high - 1
        if not values[low] or not values[high]:
            return values[low]
        power = math.log(values[high] / values[low]) / math.log(self.words[high] / self.words[low])
        return values[low] * float((words / self.words[low]) ** power)


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class Area:
    """The area of a component.

    Attributes
    ----------
    um2 : float
        Of one instance.
    words : int or None
        Of a memory, the 16-bit words that the area is for; another size takes in proportion to it.
        None where one area holds for all.
    """

    um2: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    words: Count | None = None

    def at(self, words: int | None) -> float:
        """Return the area of an instance of `words`, in um^2."""
        return self.um2 if self.words is None or words is None else self.um2 * words / self.words


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class Technology:
    """What every action costs.

    Attributes
    ----------
    source : str
        Where the figures come from.
    access : {"largest", "own"}
        Energy of an access: the larger of read and write, as ICS'21 charged it, or each its own.
    memories : dict of component to Memory
    parts : dict of component to dict of action to float
        pJ.
    areas : dict of component to Area
        Of machines that charge their area from here (`archonsim.machines.charge.area_part`); those
        that ship with archonsim have published areas in ``archonsim/data/areas.toml``.
    """

    source: str
    access: Literal["largest", "own"]
    memories: dict[str, Memory]
    parts: dict[str, dict[str, Picojoules]]

    areas: dict[str, Area] = field(default_factory=dict)

    def check_names(self, words: Vocabulary) -> None:
        """Refuse names of components and actions that no machine has.

        Parameters
        ----------
        words : Vocabulary
            Words of a machine that may not be registered.

        Raises
        ------
        SpecError
            One line that names the component, or the action.
        """
        named = {*self.memories, *self.parts, *self.areas}
        words = COMMON | words
        if not all(words.has("components", name) for name in named):
            words |= registered()
        memories = [one.name for one in words.components if one.memory]
        for name in self.memories:
            if name not in memories:
                raise SpecError(f"unknown memory {name!r}{nearest(name, memories)}")
        parts = [one.name for one in words.components if not one.memory]
        for name, actions in self.parts.items():
            if name not in parts:
                raise SpecError(f"unknown part {name!r}{nearest(name, parts)}")
            known = words.component(name).actions
            for action in actions:
                if action not in known:
                    raise SpecError(
                        f"part {name!r} has no action {action!r}; it has {', '.join(known)}"
                    )
        for name in self.areas:
            if not words.has("components", name):
                raise SpecError(
                    f"area of an unknown component {name!r}{nearest(name, (*memories, *parts))}"
                )

    def has(self, components: Iterable[str]) -> bool:
        """Whether energies of any of these components are given."""
        return any(name in self.memories or name in self.parts for name in components)

    def memory(self, name: str) -> Memory:
        """Return a memory.

        Raises
        ------
        SpecError
            The technology does not have it.
        """
        if name not in self.memories:
            raise SpecError(
                f"technology {self.source!r}: energy of memory {name!r} is missing; add"
                f" [memories.{name}]"
            )
        return self.memories[name]

    def access_pj(self, name: str, action: str, words: int) -> float:
        """Energy of one access, `action` being ``read`` or ``write``, of a memory of `words`."""
        memory = self.memory(name)
        if self.access == "own":
            return memory.at(action, words)
        return max(memory.at("read", words), memory.at("write", words))

    def action_pj(self, name: str, action: str) -> float:
        """Energy of one action of a part.

        Raises
        ------
        SpecError
            The technology does not have it.
        """
        if action not in self.parts.get(name, {}):
            raise SpecError(
                f"technology {self.source!r}: energy of {name}.{action} is missing; add {action} to"
                f" [parts.{name}]"
            )
        return self.parts[name][action]

    def area(self, name: str) -> Area:
        """Return the area of a component.

        Raises
        ------
        SpecError
            The technology does not have it.
        """
        if name not in self.areas:
            raise SpecError(
                f"technology {self.source!r}: area of {name!r} is missing; add [areas.{name}]"
            )
        return self.areas[name]


@cache
def load_technology(name: str, words: Vocabulary | None = None) -> Technology:
    """Return a shipped technology by name, or read a TOML file (``name`` ends in ``.toml``).

    Parameters
    ----------
    name : str
    words : Vocabulary, optional
        Of a machine that is not registered: its components may be named, too.

    Raises
    ------
    SpecError
        No such technology, or one that is malformed: one line that names file, field and value.
    """
    technology = load_shipped(Technology, "technologies", name, "technology")
    try:
        technology.check_names(words or Vocabulary())
    except SpecError as error:
        raise SpecError(f"technology {name}: {error}") from error
    return technology
