"""How alike masks are: which channels are copies, and what is measured of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from archonsim.zoo.network import build  # noqa: E402
from archonsim.zoo.widen import widen  # noqa: E402
from workloads import agreement  # noqa: E402
from workloads.agreement import (  # noqa: E402
    Agreement,
    ancestors,
    block_agreement,
    compare,
    mean,
    widened,
)
from workloads.book import load_recipe  # noqa: E402

WORKLOADS = Path(agreement.__file__).parent


def test_ancestors_are_the_channels_that_widening_copied() -> None:
    network, widths = build("fusionet_digits"), (1 / 6, 1 / 2)
    block = next(network.bottlenecks())
    assert block.pw1.bn is not None
    each = block.block.mid_channels // block.block.groups
    with torch.no_grad():
        # Each channel's own number, which unperturbed copies inherit.
        block.pw1.bn.bias.copy_(torch.arange(len(block.pw1.bn.bias)))
        for width in widths:
            widen(network, width, noise=0.0)
    found = ancestors(each, widths)
    assert len(set(found)) < each // 2
    for group, numbers in enumerate(block.pw1.bn.bias.view(-1, each).tolist()):
        assert numbers == [group * each + one for one in found]


def test_a_recipe_says_when_it_widened() -> None:
    assert widened(load_recipe("fusionet_c10", "cpu")) == [0.125]
    assert widened(load_recipe("fusionet_digits", "cpu")) == []


def test_pairs_of_copies_and_of_strangers_are_told_apart() -> None:
    masks = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0], [0, 1, 0, 1], [1, 1, 1, 1]], bool)
    copies, strangers = compare(masks, np.array([0, 1, 0, 1, 2]))
    # Channels 0 and 2 are the same, 1 and 3 the opposite of each other.
    assert copies == Agreement(pairs=2, agreement=0.5, independent=0.5, correlation=0.0)
    # Four pairs are independent; the other four have the channel that keeps everything.
    assert strangers == Agreement(pairs=8, agreement=0.5, independent=0.5, correlation=0.0)
    alone, none = compare(masks[[0, 2]], np.array([0, 0]))
    assert alone == Agreement(pairs=1, agreement=1.0, independent=0.5, correlation=1.0)
    assert none.pairs == 0


def test_means_count_pairs_and_leave_out_what_is_undefined() -> None:
    nan = float("nan")
    parts = [Agreement(1, 1.0, 0.5, 0.8), Agreement(3, 0.6, 0.5, nan), Agreement(0, nan, nan, nan)]
    found = mean(parts)
    assert (found.pairs, found.correlation) == (4, 0.8)
    assert found.agreement == pytest.approx(0.7)
    assert np.isnan(mean(parts[2:]).agreement)


def test_pairs_stay_within_a_group_of_the_convolution() -> None:
    block = next(build("fusionet_digits").bottlenecks()).block
    each = block.mid_channels // block.groups
    masks = np.random.default_rng(0).random((2, block.mid_channels, 2, 2)) < 0.5
    copies, strangers = block_agreement(block, list(masks), [1 / 2])
    assert copies.pairs + strangers.pairs == block.groups * each * (each - 1) // 2
    assert 0 < copies.pairs < strangers.pairs


def test_the_command_measures_the_shipped_digits(capsys: pytest.CaptureFixture[str]) -> None:
    agreement.main(WORKLOADS / "fusionet_digits.h5")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[-2:]] == [["all", "1"], ["all", "2"]]
    # All channels of the digits' network were trained: there are no copies.
    assert lines[-1].split()[2:5] == ["-"] * 3
    assert lines[-1].split()[5].endswith("%")
    with pytest.raises(SystemExit) as stop:
        agreement.main(WORKLOADS / "fusionet_digits.h5", recipe="cpx")
    assert stop.value.code == 2
