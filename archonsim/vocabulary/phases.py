"""Names of phases, as figures show them."""

from __future__ import annotations

from dataclasses import dataclass

from archonsim.vocabulary.words import Word


@dataclass(frozen=True, kw_only=True)
class PhaseName(Word):
    """A phase of a layer or block.

    Attributes
    ----------
    predicts : bool
        Whether it computes no output, but what a later phase may leave out.
    """

    predicts: bool = False


PHASES: tuple[PhaseName, ...] = (
    PhaseName(name="layer", title="layer", order=10, colour="#4D4D4D", meaning="a plain layer"),
    PhaseName(
        name="predict_pw1",
        title="predict PW1",
        order=20,
        colour="#56B4E9",
        meaning="prediction of the first pointwise layer's ReLU",
        predicts=True,
    ),
    PhaseName(
        name="predict_dw",
        title="predict DW",
        order=30,
        colour="#009E73",
        meaning="prediction of the depthwise layer's ReLU",
        predicts=True,
    ),
    PhaseName(
        name="predict_pw2",
        title="predict PW2",
        order=40,
        colour="#999933",
        meaning="prediction of the second pointwise layer",
        predicts=True,
    ),
    PhaseName(
        name="main",
        title="main",
        order=50,
        colour="#0072B2",
        meaning="a fused block, with what was predicted left out",
    ),
)
