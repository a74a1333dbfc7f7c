"""Numbers cut as evenly as integers allow."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from archonsim.dataflow.even import edge, share, shares
from tests.examples import examples


@examples(40)
@given(total=st.integers(0, 10**9), parts=st.integers(1, 50))
def test_parts_are_even_and_lose_nothing(total: int, parts: int) -> None:
    each = [share(total, part, parts) for part in range(parts)]
    assert sum(each) == total
    assert max(each) - min(each) <= 1
    assert [edge(total, part, parts) for part in range(parts + 1)] == [
        sum(each[:part]) for part in range(parts + 1)
    ]
    rows = shares(np.array([total, 2 * total], np.int64), parts)
    assert rows.dtype == np.int64
    assert rows[0].tolist() == each == shares(total, parts).tolist()
    assert rows.sum(axis=1).tolist() == [total, 2 * total]
