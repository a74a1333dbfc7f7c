"""Kinds of data, as machines' descriptions and counts name them."""

from __future__ import annotations

from typing import Literal

#: ``map`` is a predicted activation map (4 bit); ``mask`` holds keep bits.
DataKind = Literal["input", "output", "weight", "psum", "mask", "map"]
