"""The words of a machine: the common ones, and those that it declares."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TypeVar

from archonsim.errors import SpecError, UndeclaredError, nearest
from archonsim.vocabulary.components import COMPONENTS, Buffer, Component
from archonsim.vocabulary.kinds import KINDS, Kind
from archonsim.vocabulary.owners import OWNERS, Owner
from archonsim.vocabulary.phases import PHASES, PhaseName
from archonsim.vocabulary.stalls import STALLS, Stall
from archonsim.vocabulary.words import Word

_W = TypeVar("_W", bound=Word)

_NAME = re.compile(r"[a-z][a-z0-9_]*")

#: What a word of each field is called in errors.
_SORTS: dict[str, tuple[str, type[Word]]] = {
    "kinds": ("kind of data", Kind),
    "stalls": ("stall cause", Stall),
    "owners": ("owner", Owner),
    "components": ("component", Component),
    "buffers": ("buffer", Buffer),
    "phases": ("phase", PhaseName),
}


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Words that a machine declares in addition to the common ones; or all of them.

    Attributes
    ----------
    title, colour : str
        How figures show the machine; empty for its name, and a pale colour.
    kinds : tuple of Kind
        Kinds of data.
    stalls : tuple of Stall
        Causes of stalls.
    owners : tuple of Owner
        Who can own cycles in a waterfall.
    components : tuple of Component
        Memories and other parts that act and cost energy.
    buffers : tuple of Buffer
        On-chip memories of the description; each is a component, too, and need not be declared
        twice.
    phases : tuple of PhaseName
        Only for titles and colours: other names of phases are fine.
    """

    title: str = ""
    colour: str = ""
    kinds: tuple[Kind, ...] = ()
    stalls: tuple[Stall, ...] = ()
    owners: tuple[Owner, ...] = ()
    components: tuple[Component, ...] = ()
    buffers: tuple[Buffer, ...] = ()
    phases: tuple[PhaseName, ...] = ()

    def __or__(self, other: Vocabulary) -> Vocabulary:
        """Return the words of both, in order; of two with one name, the first."""
        return Vocabulary(
            title=self.title or other.title,
            colour=self.colour or other.colour,
            kinds=_merged((*self.kinds, *other.kinds)),
            stalls=_merged((*self.stalls, *other.stalls)),
            owners=_merged((*self.owners, *other.owners)),
            components=_merged(
                (*self.components, *self.buffers, *other.components, *other.buffers)
            ),
            buffers=_merged((*self.buffers, *other.buffers)),
            phases=_merged((*self.phases, *other.phases)),
        )

    @cached_property
    def _known(self) -> dict[str, dict[str, Word]]:
        return {sort: {one.name: one for one in getattr(self, sort)} for sort in _SORTS}

    def has(self, sort: str, name: str) -> bool:
        """Whether a word is declared; `sort` is a field of this class."""
        return name in self._known[sort]

    def names(self, sort: str) -> tuple[str, ...]:
        """Return the names of a sort in order."""
        return tuple(self._known[sort])

    def kind(self, name: str) -> Kind:
        """Return a kind of data; a plain word for a name that is not declared."""
        found = self._known["kinds"].get(name)
        return found if isinstance(found, Kind) else Kind(name=name)

    def stall(self, name: str) -> Stall:
        """Return a stall cause; a plain word for a name that is not declared."""
        found = self._known["stalls"].get(name)
        return found if isinstance(found, Stall) else Stall(name=name)

    def owner(self, name: str) -> Owner:
        """Return an owner; a plain word for a name that is not declared."""
        found = self._known["owners"].get(name)
        return found if isinstance(found, Owner) else Owner(name=name)

    def component(self, name: str) -> Component:
        """Return a component; a plain word for a name that is not declared."""
        found = self._known["components"].get(name)
        return found if isinstance(found, Component) else Component(name=name)

    def buffer(self, name: str) -> Buffer | None:
        """Return a declared buffer."""
        found = self._known["buffers"].get(name)
        return found if isinstance(found, Buffer) else None

    def phase(self, name: str) -> PhaseName:
        """Return a phase's name; a plain word for one that is not declared."""
        found = self._known["phases"].get(name)
        return found if isinstance(found, PhaseName) else PhaseName(name=name)

    def sort(self, sort: str, names: Iterable[str]) -> list[str]:
        """Return names in the order of their words, those that are not declared last, by name."""
        places = {name: place for place, name in enumerate(self.names(sort))}
        return sorted(set(names), key=lambda name: (places.get(name, len(places)), name))

    def demand(self, sort: str, name: str) -> None:
        """Refuse a word that is not declared.

        Raises
        ------
        UndeclaredError
            One line that names the word.
        """
        if name not in self._known[sort]:
            what, kind = _SORTS[sort]
            raise UndeclaredError(
                f"{what} {name!r} is not declared: Machine.vocabulary needs {sort}="
                f"({kind.__name__}(name={name!r}, ...),){nearest(name, self.names(sort))}"
            )

    def check(self) -> None:
        """Refuse a machine's own words that are ill-formed, or mean something else already.

        Raises
        ------
        SpecError
            One line that names the word.
        """
        for sort, (what, kind) in _SORTS.items():
            words = getattr(self, sort)
            if not isinstance(words, tuple):
                raise SpecError(f"vocabulary.{sort} is {words!r}; it must be a tuple")
            for at, word in enumerate(words):
                if type(word) is not kind:
                    raise SpecError(
                        f"vocabulary.{sort} holds {word!r}; it must hold {kind.__name__} objects"
                    )
                self._check_word(what, sort, word)
                if any(word.name == one.name for one in words[:at]):
                    raise SpecError(f"{what} {word.name!r} is declared twice")
        self._check_owners()

    def _check_word(self, what: str, sort: str, word: Word) -> None:
        for field in fields(word):
            wanted = {"str": str, "int": int, "bool": bool}.get(str(field.type))
            value = getattr(word, field.name)
            if wanted is not None and not isinstance(value, wanted):
                raise SpecError(
                    f"{what} {word.name!r}: {field.name} is {value!r}; it must be a"
                    f" {wanted.__name__}"
                )
        if not _NAME.fullmatch(word.name):
            raise SpecError(
                f"{what} {word.name!r}: a name is lower-case letters, digits and underscores"
            )
        if sort != "buffers" and COMMON.has(sort, word.name):
            raise SpecError(
                f"{what} {word.name!r} is a common one that every machine may use; leave it out of"
                " the vocabulary, or choose another name"
            )

    def _check_owners(self) -> None:
        """Each cycle of a stall, of a kind of data and of a port must find an owner."""
        known = COMMON | self
        owned: list[tuple[str, Word, str]] = [
            *(("stall cause", one, one.owner) for one in self.stalls),
            *(("kind of data", one, one.owner) for one in self.kinds),
            *(("buffer", one, one.owner) for one in self.buffers),
        ]
        for what, word, owner in owned:
            if not known.has("owners", owner):
                raise SpecError(
                    f"{what} {word.name!r}: owner is {owner!r}; it must be an owner of cycles"
                    f"{nearest(owner, known.names('owners'))}"
                )
        for buffer in self.buffers:
            for kind in buffer.holds:
                if not known.has("kinds", kind):
                    raise SpecError(
                        f"buffer {buffer.name!r} holds {kind!r}, which is no kind of data"
                        f"{nearest(kind, known.names('kinds'))}"
                    )
        for one in self.owners:
            same = [
                other.name
                for other in known.owners
                if other.letter == one.letter and other.name != one.name
            ]
            if len(one.letter) != 1 or same:
                taken = f", which {same[0]!r} has" if same else ""
                raise SpecError(
                    f"owner {one.name!r}: letter is {one.letter!r}{taken}; it must be one letter"
                    " of its own"
                )


def _merged(words: tuple[_W, ...]) -> tuple[_W, ...]:
    first: dict[str, _W] = {}
    for word in words:
        first.setdefault(word.name, word)
    return tuple(sorted(first.values(), key=lambda word: word.order))


#: Words that every machine may use.
COMMON = Vocabulary(kinds=KINDS, stalls=STALLS, owners=OWNERS, components=COMPONENTS, phases=PHASES)
