"""Predictors by name: entry points of the group ``archonsim.predictors``."""

from __future__ import annotations

from archonsim.errors import SpecError, nearest
from archonsim.export.predictors.protocol import Predictor
from archonsim.plugins import PREDICTORS, load_plugin, plugin_names

#: In a predictor's place: the network's own ReLUs.
NONE = "none"


def predictor_names() -> list[str]:
    """Return the names of all registered predictors, sorted."""
    return plugin_names(PREDICTORS)


def check_name(name: str) -> None:
    """Refuse a name that stands for no predictor.

    Raises
    ------
    SpecError
    """
    known = [NONE, *predictor_names()]
    if name not in known:
        raise SpecError(f"--predictors is {name!r}, which is no predictor{nearest(name, known)}")


def predictor(name: str) -> Predictor:
    """Return a registered predictor.

    Raises
    ------
    SpecError
        No predictor of that name is registered, its plug-in does not load, or is none.
    """
    check_name(name)
    found = load_plugin(PREDICTORS, name)
    for member in ("name", "summary", "fit"):
        if not hasattr(found, member):
            raise SpecError(
                f"predictor {name!r}: {found!r} has no {member} (docs/add-a-predictor.md)"
            )
    made: Predictor = found
    return made
