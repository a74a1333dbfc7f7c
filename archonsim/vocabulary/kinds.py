"""Kinds of data, as machines' descriptions and counts name them."""

from __future__ import annotations

from typing import Literal

#: ``map`` is a predicted activation map (4 bit); ``mask`` holds keep bits.
DataKind = Literal["input", "output", "weight", "psum", "mask", "map"]

#: What an action is done for; ``compute`` for arithmetic, which serves several kinds at once.
ActionKind = DataKind | Literal["compute"]

#: All of them, in the order in which reports show them.
ACTION_KINDS: tuple[ActionKind, ...] = (
    "input",
    "output",
    "weight",
    "psum",
    "mask",
    "map",
    "compute",
)
