"""Predictors: ternary weights, levels, and what their gate lets through."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from archonsim.network.layer import Layer  # noqa: E402
from archonsim.zoo.predictor import Predictor, gate, ternarise  # noqa: E402
from archonsim.zoo.unit import ConvUnit  # noqa: E402


def test_ternary_weights_are_those_above_the_threshold_of_their_slice() -> None:
    weight = torch.tensor([0.1, -1.0, 0.0, 2.0, 10.0, -1.0, 0.0, 0.0]).view(2, 4, 1, 1)
    signs, scale = ternarise(weight, 2)
    # Slice 1: mean magnitude 0.775, threshold 0.5425. Slice 2: 2.75 and 1.925.
    assert signs.flatten().tolist() == [0, -1, 0, 1, 1, 0, 0, 0]
    assert scale.tolist() == pytest.approx([1.5, 10.0])


def test_one_slice_takes_one_threshold_for_all_channels() -> None:
    weight = torch.tensor([0.1, -1.0, 0.0, 2.0, 10.0, -1.0, 0.0, 0.0]).view(2, 4, 1, 1)
    signs, scale = ternarise(weight, 1)
    # Mean magnitude 1.7625, threshold 1.23.
    assert signs.flatten().tolist() == [0, 0, 0, 1, 1, 0, 0, 0]
    assert scale.tolist() == pytest.approx([6.0, 6.0])


@pytest.fixture
def predictor() -> Predictor:
    layer = Layer(
        name="a",
        kind="conv",
        role="pw1",
        in_channels=1,
        out_channels=1,
        in_h=1,
        in_w=1,
        batchnorm=True,
    )
    predictor = Predictor(ConvUnit(layer))
    predictor.signs.fill_(1)
    return predictor


def test_levels_are_rounded_and_clipped_to_four_bits(predictor: Predictor) -> None:
    x = torch.tensor([-100.0, -6.4, -0.41, -0.39, 0.39, 0.41, 5.6, 100.0]).view(-1, 1, 1, 1)
    assert predictor.accumulate(x).flatten().tolist() == [-8, -8, -1, 0, 0, 1, 7, 7]


def test_gradient_of_the_levels_passes_inside_the_range_alone(predictor: Predictor) -> None:
    x = torch.tensor([-100.0, -6.0, 0.0, 5.0, 100.0]).view(-1, 1, 1, 1).requires_grad_()
    (predictor.accumulate(x) * 0.8).sum().backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == pytest.approx([0, 1, 1, 1, 0])


def test_gate_passes_negative_values_and_sends_the_gradient_to_the_prediction() -> None:
    real = torch.tensor([-3.0, 2.0, 5.0], requires_grad=True)
    predicted = torch.tensor([1.0, 0.0, 2.0], requires_grad=True)
    y = gate(real, predicted)
    assert y.tolist() == [-3, 0, 5]
    y.sum().backward()
    assert real.grad is None
    assert predicted.grad is not None
    assert predicted.grad.tolist() == [1, 1, 1]
