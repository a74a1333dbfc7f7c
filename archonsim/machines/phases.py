"""What every machine returns: one result per phase."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archonsim.stats.counts import PhaseStats

#: pJ by (component, kind).
Energy = dict[tuple[str, str], float]


@dataclass(frozen=True, slots=True)
class PhaseResult:
    """One phase of one layer or block, for one image.

    Attributes
    ----------
    name : str
        Name of the layer or block.
    block : int or None
    phase : str
        ``predict_pw1``, ``predict_dw``, ``predict_pw2``, ``main``, or ``layer``.
    stats : PhaseStats
    pes : int
    adders : int
        Narrow adders of a PE, in phases that only add; 0 in phases that multiply.
    energy : dict of (component, kind) to float, or None
        pJ; None where the machine has no energy model, or its technology lacks a part of it.
    mapping : dict of str to plain data, or None
        The mapping that a fused phase ran with, in the form of the machine's mapping files.
    """

    name: str
    block: int | None
    phase: str
    stats: PhaseStats
    pes: int
    adders: int = 0
    energy: Energy | None = None
    mapping: Mapping[str, Any] | None = None

    @property
    def energy_pj(self) -> float | None:
        """All energy of the phase."""
        return None if self.energy is None else math.fsum(self.energy.values())

    @property
    def utilization(self) -> float:
        """Share of the array's slots used.

        MACs per PE and cycle, or ternary additions per narrow adder and cycle.

        Cycles that a prediction hides in the phase before it are cycles of its own here, too.
        """
        done, slots = (self.stats.adds, self.adders) if self.adders else (self.stats.macs, 1)
        cycles = self.stats.cycles + self.stats.activity["overlap.hidden_cycles"]
        return done / (self.pes * slots * cycles) if cycles else 0.0
