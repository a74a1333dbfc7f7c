"""How much a simulation has to do: what a forecast is made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one step of a simulation takes, before it starts.

    Attributes
    ----------
    name : str
        Layer or block.
    candidates : int
        Fused weights and bias terms that are not zero; 0 for plain layers.
    beats : int
        Broadcast in all tiles.
    events : int
        Of the clock.
    kept_bytes, peak_bytes : int
        Memory that stays for the next image, and that is held while the step runs.
    seconds : float
        On the machine that the constants were measured on.
    """

    name: str
    candidates: int = 0
    beats: int = 0
    events: int = 0
    kept_bytes: int = 0
    peak_bytes: int = 0
    seconds: float = 0.0
