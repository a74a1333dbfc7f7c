"""Machines, kinds of figures, predictors, and networks of others, are entry points.

The built-in ones take the same path as a plug-in's.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from archonsim.errors import SpecError

#: Entry-point group of machines.
MACHINES = "archonsim.machines"
#: Entry-point group of ReLU predictors.
PREDICTORS = "archonsim.predictors"
#: Entry-point group of kinds of figures.
FIGURES = "archonsim.figures"


@cache
def _group(group: str) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        other = found.get(point.name)
        if other is not None and other.value != point.value:
            raise SpecError(
                f"{point.name!r} is registered twice in {group}: as {other.value} and as"
                f" {point.value}; uninstall one"
            )
        found[point.name] = point
    return found


def plugin_names(group: str) -> list[str]:
    """Return the names registered in an entry-point group, sorted."""
    return sorted(_group(group))


def plugin_sources(group: str) -> dict[str, str]:
    """Return the names registered in a group, each with its distribution and entry point.

    Entries of this package itself are left out: it lists its own where they stand.
    """
    sources = {}
    for name, point in _group(group).items():
        maker = "" if point.dist is None else f"{point.dist.name} {point.dist.version}: "
        if point.dist is None or point.dist.name != "archonsim":
            sources[name] = f"{maker}{point.value}"
    return sources


def load_plugin(group: str, name: str) -> Any:
    """Import what is registered as `name`.

    Raises
    ------
    SpecError
        The plug-in does not import; the message names it and the cause.
    """
    point = _group(group)[name]
    try:
        return point.load()
    except Exception as error:
        raise SpecError(
            f"{group} entry point {name!r} = {point.value!r} does not load: {type(error).__name__}:"
            f" {error}"
        ) from error
