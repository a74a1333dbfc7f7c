"""The sparse baseline's description: the dense one's, and what is skipped."""

from __future__ import annotations

import re
from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from archonsim.machines.row_stationary.spec import RowStationarySpec
from archonsim.spec.effect import Needs
from archonsim.spec.parts import CONFIG, Count, Share, Size


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class SparseSpec(RowStationarySpec):
    """The whole machine.

    Attributes
    ----------
    nnz : {"weights", "density", "ics21"}
        Where the non-zero weights of a PE and pass come from: ``weights``: the workload's own
        weights; ``density``: perfectly balanced, at the densities below, for workloads without
        weights; ``ics21``: as the authors measured or published them.
    barrier : str
        ``pass``: a pass ends with its slowest PE; ``fifo:N``: a PE may be up to N passes ahead of
        the slowest.
    skip_zero_activations : bool
        Whether products with a zero activation are skipped as well, where ReLU masks tell: before
        DW and PW2 of blocks that have predictors, in the order PW1, DW, PW2.
    pointwise_density, depthwise_density : float
        Share of non-zero weights in the layers of bottleneck blocks; other layers are dense.
    index_bits, value_bits : int
        Bits of one non-zero weight in DRAM.
    """

    needs: ClassVar[Needs] = {
        **RowStationarySpec.needs,
        "barrier": ("nnz", ("weights", "ics21")),
        "pointwise_density": ("nnz", ("density",)),
        "depthwise_density": ("nnz", ("density",)),
    }

    nnz: Literal["weights", "density", "ics21"] = "weights"
    barrier: str = "pass"
    skip_zero_activations: bool = False
    pointwise_density: Share
    depthwise_density: Share
    index_bits: Size
    value_bits: Count

    def __post_init__(self) -> None:
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
