"""Words for presenters, by name: common ones, and those of registered machines.

An undeclared name is shown as it is, in a pale colour; results of a plug-in that is not
installed here can be shown, too.
"""

from __future__ import annotations

from functools import cache

from archonsim.errors import SpecError
from archonsim.plugins import MACHINES, load_plugin, plugin_names
from archonsim.vocabulary.components import Component
from archonsim.vocabulary.kinds import Kind
from archonsim.vocabulary.owners import Owner
from archonsim.vocabulary.phases import PhaseName
from archonsim.vocabulary.stalls import Stall
from archonsim.vocabulary.vocabulary import COMMON, Vocabulary


@cache
def declared(arch: str) -> Vocabulary:
    """Return what a registered machine declares; nothing if it is not here, or does not load."""
    try:
        found = load_plugin(MACHINES, arch) if arch in plugin_names(MACHINES) else None
    except SpecError:
        return Vocabulary()
    words = getattr(found, "vocabulary", None)
    if not isinstance(words, Vocabulary):
        return Vocabulary()
    try:
        words.check()
    except SpecError:  # said where the machine is used
        return Vocabulary()
    return words


@cache
def registered() -> Vocabulary:
    """Return the words of all registered machines, the common ones first."""
    words = COMMON
    for arch in plugin_names(MACHINES):
        words |= declared(arch)
    return words


def _with(sort: str, name: str) -> Vocabulary:
    """Return a vocabulary that has a word, if any has it; no machine loads for a common word."""
    return COMMON if COMMON.has(sort, name) else registered()


def kind(name: str) -> Kind:
    """Return a kind of data."""
    return _with("kinds", name).kind(name)


def stall(name: str) -> Stall:
    """Return a stall cause."""
    return _with("stalls", name).stall(name)


def owner(name: str) -> Owner:
    """Return an owner of cycles."""
    return _with("owners", name).owner(name)


def component(name: str) -> Component:
    """Return a memory or another part."""
    return _with("components", name).component(name)


def phase(name: str) -> PhaseName:
    """Return a phase's name."""
    return _with("phases", name).phase(name)


def in_order(sort: str, names: set[str]) -> list[str]:
    """Return names in the order in which they are shown; `sort` is a field of `Vocabulary`."""
    words = COMMON if all(COMMON.has(sort, name) for name in names) else registered()
    return words.sort(sort, names)
