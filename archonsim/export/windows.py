"""Windows of convolutions and pools from arguments in any of the forms that frameworks use."""

from __future__ import annotations

from typing import Any

from archonsim.export.calls import Call
from archonsim.export.graph import Node, Window
from archonsim.network.layer import Padding, same_padding

Pair = tuple[int, int]


def pair(value: Any) -> Pair:
    """Return one number, or two, as two: rows and columns."""
    if isinstance(value, int):
        return value, value
    numbers = [int(one) for one in value]
    return numbers[0], numbers[-1]


def padding_of(value: Any, size: Pair, kernel: Pair, stride: Pair) -> Padding:
    """Read a padding in any of its forms.

    ``same`` puts an odd pixel behind, ``same_lower`` before.
    """
    if value in ("valid", None):
        return (0, 0, 0, 0)
    if isinstance(value, str):
        top, bottom = same_padding(size[0], kernel[0], stride[0])
        left, right = same_padding(size[1], kernel[1], stride[1])
        return (bottom, top, right, left) if value == "same_lower" else (top, bottom, left, right)
    if not isinstance(value, int) and len(value) == 4:
        top, bottom, left, right = (int(one) for one in value)
        return top, bottom, left, right
    tall, wide = pair(value)
    return tall, tall, wide, wide


def window_of(call: Call, source: Node, kernel: Pair, stride: Any, groups: int = 1) -> Window:
    """Return the window of a call that reads a map; a dilated kernel is as large as it reaches."""
    steps = pair(stride)
    padding = padding_of(call.arguments.get("padding", 0), source.map[1:], kernel, steps)
    return Window(kernel=kernel, stride=steps, padding=padding, groups=groups)
