"""Shapes, MACs and parameters of FusioNet and MobileNetV2 as published."""

from __future__ import annotations

import pytest

from archonsim.workload.networks import network

#: compstruct/fusion-ml-models, commit faaca50: traced from the authors' code, equal to its printed summaries.
TOTALS = {
    "fusionet_c10": (413_988_224, 2_725_770),
    "fusionet_c100": (424_756_224, 3_011_940),
    "mobilenetv2mod_c10": (273_799_680, 1_174_442),
}


@pytest.mark.parametrize("name", TOTALS)
def test_macs_and_parameters(name: str) -> None:
    work = network(name)
    assert (work.macs, work.params) == TOTALS[name]


def test_fusionet_saves_multiplications_as_claimed() -> None:
    """6-20 times fewer multiplications a block (ICS'21, abstract)."""
    ratios = [block.macs / block.fused_macs for block in network("fusionet_c10").blocks()]
    assert min(ratios) > 6
    assert max(ratios) < 30
