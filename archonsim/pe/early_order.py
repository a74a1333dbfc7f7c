"""In which order a filter's weights come, and where its speculation stops."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from archonsim.pe.early_kernel import Ordered
from archonsim.trace.tensors import Floats, LayerTensors

#: Keys that sort a filter's weights: those of a prefix, then positive ones, negative ones (by their
#: own value, or all alike), and those that are left out.
_PREFIX, _POSITIVE, _OUT = -np.inf, np.finfo(np.float32).min, np.inf


def _representatives(row: Floats, share: float) -> NDArray[np.int64]:
    """Choose the weights that a filter speculates on; none where these would be all.

    Sorted by magnitude and cut into as many runs, the largest of each run is taken: it stands for
    the others.
    """
    found = np.flatnonzero(row)
    prefix = ceil(share * len(found))
    if len(found) <= prefix:
        return np.empty(0, np.int64)
    by_size = found[np.argsort(np.abs(row[found]), kind="stable")]
    ends = -(-np.arange(1, prefix + 1) * len(found) // prefix) - 1
    return by_size[ends]


def ordered(
    tensors: LayerTensors,
    *,
    largest_first: bool = True,
    keep_zeros: bool = False,
    prefix_share: float = 0.0,
) -> Ordered:
    """Bring a layer's weights into their order; thresholds are such that nothing is speculated.

    Parameters
    ----------
    tensors : LayerTensors
        Their scale is multiplied in, as the sign of the sum is what counts.
    largest_first : bool
        Of the negative weights the largest come first; else as they are stored.
    keep_zeros : bool
        Zero weights stay in the order, among the negative ones.
    prefix_share : float
        Share of a filter's weights that its sum speculates on, rounded up.
    """
    filters = len(tensors.scale)
    weight = (tensors.weight * tensors.scale[:, None, None, None]).reshape(filters, -1)
    falls = weight <= 0 if keep_zeros else weight < 0
    key = np.where(weight > 0, _POSITIVE, np.float32(_OUT)).astype(np.float32)
    key[falls] = weight[falls] if largest_first else 0
    prefix = np.zeros(filters, np.int32)
    if prefix_share > 0:
        for m, row in enumerate(weight):
            chosen = _representatives(row, prefix_share)
            key[m, chosen] = _PREFIX
            prefix[m] = len(chosen)
    places = np.argsort(key, axis=1, kind="stable")
    kept = (key < np.inf).sum(axis=1)
    chosen = np.arange(weight.shape[1]) < kept[:, None]
    return Ordered(
        weight=np.take_along_axis(weight, places, 1)[chosen],
        index=places[chosen].astype(np.int32),
        first=np.concatenate([[0], np.cumsum(kept)]).astype(np.int32),
        prefix=prefix,
        certain=(key <= _POSITIVE).sum(axis=1, dtype=np.int32),
        start=tensors.shift.astype(np.float32),
        threshold=np.full(filters, -np.inf, np.float32),
    )


def with_thresholds(order: Ordered, sums: Floats, partial: Floats, share: float) -> Ordered:
    """Set each filter's threshold so that it cuts at most a share of its positive outputs.

    Parameters
    ----------
    order : Ordered
    sums, partial : (O, outputs) float32
        Of some images: whole sums, and those behind the prefix.
    share : float
    """
    threshold = order.threshold.copy()
    for m in np.flatnonzero(order.prefix):
        positive = np.sort(partial[m][sums[m] > 0])
        cut = min(int(share * len(positive)), len(positive) - 1)
        threshold[m] = positive[cut] if len(positive) else np.inf
    return replace(order, threshold=threshold)
