from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from archonsim.errors import WorkloadError
from archonsim.network.networks import network
from archonsim.network.workload import Workload
from archonsim.runs.verify import verify
from archonsim.trace.synthetic import synthesize
from archonsim.trace.tensors import BlockTrace, MemoryTrace
from archonsim.tracefile.check import validate
from tests.workload.conftest import bottleneck, tiny_network

Made = tuple[Workload, MemoryTrace]


@pytest.fixture(scope="module")
def digits() -> Made:
    return synthesize(
        network("fusionet_digits"),
        seed=1,
        density1=0.3,
        density2=0.6,
        weight_density=(0.2, 0.3, 0.1),
        images=2,
        agreement=0.8,
    )


def test_it_says_synthetic(digits: Made) -> None:
    origin = digits[0].provenance
    assert origin.mask_source == "synthetic"
    assert origin.seed == 1
    assert "synthetic" in origin.note
    assert origin.test_accuracy is None
    assert origin.created_by.startswith("archonsim ")


def test_it_is_valid(digits: Made, tiny: Made) -> None:
    validate(digits[0])
    validate(tiny[0])


def test_densities(digits: Made) -> None:
    workload, trace = digits
    for block in workload.blocks():
        for layer, share in zip((block.pw1, block.dw, block.pw2), (0.2, 0.3, 0.1), strict=True):
            weight = trace.layer(layer.name).weight
            assert np.count_nonzero(weight) == weight.size - round(weight.size * (1 - share))
        for image in range(2):
            one = trace.block(block.name, image)
            assert one.keep1.density() == pytest.approx(0.3, abs=1e-3)
            assert one.keep2.density() == pytest.approx(0.6, abs=1e-3)
            for keep, true in ((one.keep1, one.true1), (one.keep2, one.true2)):
                assert (keep.unpack() == true.unpack()).mean() == pytest.approx(0.8, abs=0.02)
    assert np.count_nonzero(trace.layer("fc").weight) == trace.layer("fc").weight.size


@pytest.mark.parametrize("density", [0.0, 1.0])
def test_extreme_densities(density: float) -> None:
    workload, trace = synthesize(
        tiny_network(),
        seed=0,
        density1=density,
        density2=density,
        weight_density=(density,) * 3,
        agreement=1,
    )
    one = trace.block("b3", 0)
    assert one.keep1.density() == one.keep2.density() == one.true1.density() == density
    assert (
        np.count_nonzero(trace.layer("b3.dw").weight) == density * trace.layer("b3.dw").weight.size
    )
    validate(workload)


def test_the_seed_decides() -> None:
    digests = [synthesize(tiny_network(), seed=seed)[0].digest for seed in (5, 5, 6)]
    assert digests[0] == digests[1] != digests[2]


def test_images_differ_and_chain(digits: Made) -> None:
    _, trace = digits
    first, second = (trace.block("b2", image) for image in (0, 1))
    assert not np.array_equal(first.keep1.packed, second.keep1.packed)
    for image in (0, 1):
        assert_array_equal(trace.block("b2", image).input, trace.block("b1", image).output)


def test_maps_stay_in_the_range_of_trained_ones(digits: Made) -> None:
    for one in digits[1].blocks.values():
        assert 0.3 < one.output.std() < 10


def neighbours_agree(one: BlockTrace) -> float:
    keep = one.keep1.unpack()
    return float((keep[:, :, 1:] == keep[:, :, :-1]).mean())


def test_spatial_correlation() -> None:
    alone, together = (
        synthesize(network("fusionet_digits"), seed=1, spatial=reach)[1].block("b1", 0)
        for reach in (0, 2)
    )
    assert neighbours_agree(alone) == pytest.approx(0.5, abs=0.02)
    assert neighbours_agree(together) > 0.7
    assert together.keep1.density() == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"density1": 1.5}, "density1 is 1.5; it must be a share between 0 and 1"),
        ({"weight_density": (0.2, -1, 0.2)}, r"weight_density\[1\] is -1"),
        ({"agreement": float("nan")}, "agreement is nan"),
        ({"images": 0}, "images is 0; it must be at least 1"),
        ({"spatial": -1}, "spatial is -1; it must be at least 0"),
        ({"seed": -1}, "seed is -1; it must be at least 0"),
    ],
)
def test_impossible_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        synthesize(tiny_network(), **({"seed": 0} | arguments))  # type: ignore[arg-type]


@pytest.mark.parametrize("stride", [1, 2])
def test_a_concatenated_shortcut_is_the_input_averaged_over_pixels_inside_the_map(
    stride: int,
) -> None:
    concat = bottleneck(1, (4, 12, 6), 5, stride=stride, residual="concat")
    work, memory = synthesize(
        Workload(name="x", items=(concat,), provenance=tiny_network().provenance), seed=0
    )
    trace = memory.block("b1", 0)
    for p, q in np.ndindex(trace.output.shape[1:]):
        # 'same' padding of a 3x3 window on 5 pixels is one pixel on each side, for stride 1 and 2.
        window = trace.input[
            :, max(0, p * stride - 1) : p * stride + 2, max(0, q * stride - 1) : q * stride + 2
        ]
        assert_allclose(trace.output[6:, p, q], window.mean((1, 2)), atol=2e-3)
    assert all(check.passed for check in verify(work, images=[0]))
