"""Energy of a phase (counts times energy per action) and area of a component."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from archonsim.errors import UndeclaredError
from archonsim.machines.phases import Energy
from archonsim.spec.resources import AreaPart
from archonsim.spec.technology import Technology
from archonsim.vocabulary.components import ACCESSES
from archonsim.vocabulary.known import registered

Actions = Mapping[tuple[str, str, str], int]


def charge(actions: Actions, technology: Technology, sizes: Mapping[str, int]) -> Energy:
    """Return energy in pJ by (component, kind).

    Parameters
    ----------
    actions : mapping of (component, action, kind) to int
        As in :class:`~archonsim.stats.counts.PhaseStats`: accesses of memories in 16-bit words.
    technology : Technology
    sizes : mapping of memory to int
        16-bit words of one instance; a memory that is left out (DRAM) has no size.

    Raises
    ------
    SpecError
        The technology lacks a component or an action, or no registered machine declares it.
    """
    energy: dict[tuple[str, str], float] = defaultdict(float)
    for (component, action, kind), times in sorted(actions.items()):
        if component not in technology.memories and action not in technology.parts.get(
            component, {}
        ):
            _check_word(component, action)
        energy[component, kind] += times * action_pj(component, action, technology, sizes)
    return dict(energy)


def _check_word(component: str, action: str) -> None:
    """Refuse what no machine declares, before its energy is asked for."""
    words = registered()
    words.demand("components", component)
    known = words.component(component).actions
    if action not in known:
        raise UndeclaredError(
            f"component {component!r} has no action {action!r}; it has {', '.join(known)}"
        )


def action_pj(
    component: str, action: str, technology: Technology, sizes: Mapping[str, int]
) -> float:
    """Energy of one action, and of one word for memories."""
    if component not in technology.memories and (
        component in technology.parts or action not in ACCESSES
    ):
        return technology.action_pj(component, action)
    access = technology.access_pj(component, action, sizes.get(component, 1))
    return access / technology.memory(component).access_words


def area_part(
    technology: Technology,
    component: str,
    *,
    words: int | None = None,
    instances: int = 1,
    copies: int = 1,
    in_pe: bool = False,
) -> AreaPart:
    """Return a component's area as a technology has it, for `Resources.parts`.

    Parameters
    ----------
    technology : Technology
    component : str
    words : int or None
        16-bit words of one instance of a memory.
    instances : int
    copies : int
        Components that stand together and count as one instance.
    in_pe : bool
        Whether every PE has one.

    Raises
    ------
    SpecError
        The technology lacks the area.
    """
    area = copies * technology.area(component).at(words)
    return AreaPart(component=component, area_um2=area, instances=instances, in_pe=in_pe)
