"""What-if masks."""

from __future__ import annotations

import numpy as np
import pytest

from archonsim.errors import MaskError
from archonsim.network.networks import network
from archonsim.trace.synthetic import synthesize
from archonsim.trace.what_if import MaskPolicy

WORK = synthesize(network("fusionet_digits"), seed=3, images=2)[0]
BLOCK = next(WORK.blocks())


def bits(policy: str, seed: int = 0, image: int = 0) -> tuple[np.ndarray, np.ndarray]:
    first, second = MaskPolicy.parse(policy, seed).masks(WORK, BLOCK, image)
    return first.unpack(), second.unpack()


def test_trace_and_oracle_are_the_stored_ones() -> None:
    assert WORK.trace is not None
    stored = WORK.trace.block(BLOCK.name, 1)
    assert (bits("trace", image=1)[0] == stored.keep1.unpack()).all()
    assert (bits("oracle", image=1)[1] == stored.true2.unpack()).all()
    assert (bits("oracle", image=1)[1] != bits("trace", image=1)[1]).any()


def test_hits_and_either_lie_between_what_was_predicted_and_what_is_true() -> None:
    for place in (0, 1):
        predicted, true = bits("trace")[place], bits("oracle")[place]
        assert (bits("hits")[place] == predicted & true).all()
        assert (bits("either")[place] == predicted | true).all()


@pytest.mark.parametrize(
    ("first", "second"), [("oracle", "trace"), ("trace", "random:0.25"), ("random:0.5", "all")]
)
def test_two_policies_are_one_for_each_relu(first: str, second: str) -> None:
    both = bits(f"{first}/{second}", seed=2)
    assert (both[0] == bits(first, seed=2)[0]).all()
    assert (both[1] == bits(second, seed=2)[1]).all()


@pytest.mark.parametrize(
    "text", ["trace", "hits", "either", "random:0.5", "hits/trace", "flip:0.1/oracle"]
)
def test_policies_read_back(text: str) -> None:
    assert str(MaskPolicy.parse(text)) == text


def test_all_and_nothing() -> None:
    assert bits("all")[0].all()
    assert bits("random:1")[1].all()
    assert not bits("random:0")[0].any()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_random_has_the_density_asked_for(share: float) -> None:
    for mask in bits(f"random:{share}"):
        deviation = np.sqrt(share * (1 - share) / mask.size)
        assert abs(mask.mean() - share) < 5 * deviation


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_flip_flips_its_share(share: float) -> None:
    changed = bits(f"flip:{share}")[0] ^ bits("trace")[0]
    assert abs(changed.mean() - share) < 5 * np.sqrt(share * (1 - share) / changed.size) + 1e-12


def test_seed_image_and_block_decide_and_nothing_else() -> None:
    assert (bits("random:0.5", seed=4)[0] == bits("random:0.5", seed=4)[0]).all()
    assert (bits("random:0.5", seed=4)[0] != bits("random:0.5", seed=5)[0]).any()
    assert (bits("random:0.5", image=0)[0] != bits("random:0.5", image=1)[0]).any()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "foo",
        "random",
        "random:",
        "random:2",
        "flip:-0.1",
        "flip:nan",
        "all:1",
        "trace:",
        "trace/",
        "/trace",
        "trace/foo",
        "trace/trace/trace",
    ],
)
def test_bad_policies(text: str) -> None:
    with pytest.raises(MaskError, match="--masks is"):
        MaskPolicy.parse(text)


def test_a_shape_only_workload_has_no_trace_masks() -> None:
    with pytest.raises(MaskError, match="has shapes only"):
        MaskPolicy.parse("trace").masks(network("fusionet_digits"), BLOCK, 0)
