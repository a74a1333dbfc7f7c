"""A few commands ended at random moments; ``make faults`` ends a hundred."""

from __future__ import annotations

import random

import pytest

from tests.faults.injection import COMMANDS, end_once, right


@pytest.mark.sampled(8)
@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_ended_leaves_whole_files_and_runs_again(name: str) -> None:
    whole, seconds = right(name)
    assert whole
    ended = end_once(name, whole, seconds, random.Random(name))
    assert not ended.fault, ended
