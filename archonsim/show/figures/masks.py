"""A workload whose masks are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from archonsim.network.workload import Workload
from archonsim.trace.what_if import MaskPolicy


def _silent(name: str) -> None:
    """Ignore that a block is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Masks:
    """What a figure of masks is drawn from.

    Attributes
    ----------
    workload : Workload
    images : sequence of int
        Numbers of the images that are averaged over.
    policy : MaskPolicy
    on_step : function of a block's name
        Called when it is done.
    """

    workload: Workload
    images: Sequence[int]
    policy: MaskPolicy
    on_step: Callable[[str], None] = _silent
