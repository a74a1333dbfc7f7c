"""How many examples a property test tries."""

from __future__ import annotations

import os

from hypothesis import settings

#: Divides the numbers of examples, for runs in which kernels or counting lines are slow.
FEWER = "ARCHONSIM_FEWER_EXAMPLES"


def examples(count: int) -> settings:
    """Try `count` examples, at least 5.

    ``$ARCHONSIM_FEWER_EXAMPLES`` divides the count.
    """
    fewer = count // int(os.environ.get(FEWER, "1"))
    return settings(max_examples=max(5, fewer), deadline=None)
