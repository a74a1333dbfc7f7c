"""The sparse baseline's description: the dense one's, and what is skipped."""

from __future__ import annotations

import re
from typing import ClassVar

from pydantic.dataclasses import dataclass

from archonsim.machines.row_stationary.spec import RowStationarySpec
from archonsim.spec.effect import Needs
from archonsim.spec.parts import CONFIG, Count, Share, Size

NNZ = ("weights", "density", "ics21")
#: Of files that say where the non-zero weights are.
SUFFIXES = (".csv", ".npz")


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class SparseSpec(RowStationarySpec):
    """The whole machine.

    Attributes
    ----------
    nnz : "weights", "density", "ics21", or a file
        Where the non-zero weights of a PE and pass come from: ``weights``: the workload's own
        weights; ``density``: perfectly balanced, at the densities below, for workloads without
        weights; ``ics21``: as the authors measured or published them; a file that ends in ``.csv``
        or ``.npz``: as it gives them, see :mod:`archonsim.machines.sparse.given`.
    barrier : str
        ``pass``: a pass ends with its slowest PE; ``fifo:N``: a PE may be up to N passes ahead of
        the slowest.
    skip_zero_activations : bool
        Whether products with a zero activation are skipped as well, where ReLU masks tell: before
        DW and PW2 of blocks that have predictors, in the order PW1, DW, PW2.
    pointwise_density, depthwise_density, conv_density, fc_density : float
        Shares of non-zero weights, for ``nnz=density`` and shapes without weights: of 1x1
        convolutions, of depthwise layers, of all other convolutions, and of fully connected layers
        and matrix products.
    index_bits, value_bits : int
        Bits of one non-zero weight in DRAM.
    """

    needs: ClassVar[Needs] = {
        **RowStationarySpec.needs,
        "pointwise_density": ("nnz", ("density",)),
        "depthwise_density": ("nnz", ("density",)),
        "conv_density": ("nnz", ("density",)),
        "fc_density": ("nnz", ("density",)),
    }

    nnz: str = "weights"
    barrier: str = "pass"
    skip_zero_activations: bool = False
    pointwise_density: Share
    depthwise_density: Share
    conv_density: Share = 1.0
    fc_density: Share = 1.0
    index_bits: Size
    value_bits: Count

    def __post_init__(self) -> None:
        if self.nnz not in NNZ and not self.nnz.endswith(SUFFIXES):
            raise ValueError(
                f"nnz is {self.nnz!r}; it must be {', '.join(NNZ)}, or a file of counts or masks"
                f" that ends in {' or '.join(SUFFIXES)}"
            )
        if not re.fullmatch(r"pass|fifo:[1-9][0-9]{0,5}", self.barrier):
            raise ValueError(
                f"barrier is {self.barrier!r}; it must be pass, or fifo:N with N passes from 1 to"
                " 999999"
            )
        if self.skip_zero_activations and self.nnz != "weights":
            raise ValueError(
                f"skip_zero_activations is true and nnz is {self.nnz!r}: counts do not say which"
                " products are left; use nnz=weights"
            )

    @property
    def ahead(self) -> int:
        """Passes that a PE may be ahead of the slowest."""
        return 0 if self.barrier == "pass" else int(self.barrier.partition(":")[2])
