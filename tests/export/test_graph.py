"""The graph that all frontends make: what rearrangements are found to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from archonsim.export.graph import Graph, Node, simplify
from archonsim.export.images import number_ranges
from archonsim.trace.algebra import shuffle
from archonsim.trace.tensors import Floats


class Moving:
    """A runner of one rearrangement of channels and pixels, the real thing.

    It is applied to whatever comes.
    """

    def __init__(self, order: Sequence[int], flip: bool) -> None:
        self._order, self._flip = list(order), flip

    def evaluate(self, known: Mapping[str, Floats], wanted: Sequence[str]) -> dict[str, Floats]:
        moved = known["image"][:, self._order]
        return {"moved": moved[..., ::-1] if self._flip else moved}


def found(order: Sequence[int], flip: bool = False) -> Graph:
    shape = (1, len(order), 2, 3)
    image = Node(name="image", op="input", inputs=(), shape=shape, label="image")
    moved = Node(name="moved", op="move", inputs=("image",), shape=shape, label="moved")
    read = Node(
        name="read", op="activation", inputs=("moved",), shape=shape, label="read", kind="relu"
    )
    return simplify(Graph((image, moved, read), ("read",)), Moving(order, flip))


@given(st.integers(1, 6), st.integers(1, 6))
def test_every_shuffle_is_found_whatever_it_is_written_with(groups: int, each: int) -> None:
    channels = np.arange(groups * each, dtype=np.float32)[:, None, None]
    order = shuffle(channels, groups)[:, 0, 0].astype(int)
    node = found(order.tolist()).nodes[1]
    if 1 in (groups, each):
        assert (node.op, node.inputs) == (
            "activation",
            ("image",),
        )  # nothing moved, so nothing is left of it
    else:
        assert node.op == "shuffle"
        np.testing.assert_array_equal(shuffle(channels, node.window.groups)[:, 0, 0], order)


@given(st.permutations(range(6)))
def test_other_orders_of_channels_are_no_shuffle(order: list[int]) -> None:
    known = {tuple(np.arange(6).reshape(groups, -1).T.reshape(-1)) for groups in (1, 2, 3, 6)}
    assert (found(order).nodes[1].op == "move") == (tuple(order) not in known)


def test_moved_pixels_are_no_shuffle() -> None:
    assert found([0, 2, 1, 3], flip=True).nodes[1].op == "move"


@given(st.lists(st.integers(0, 30), unique=True).map(sorted))
def test_ranges_name_every_number_once(numbers: list[int]) -> None:
    parts = [part.split("-") for part in number_ranges(numbers).split(",") if part]
    assert [one for part in parts for one in range(int(part[0]), int(part[-1]) + 1)] == numbers
