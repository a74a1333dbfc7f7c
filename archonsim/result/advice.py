"""Whether fusing pays, block by block: what a closed form says, and what the simulator says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from archonsim.result.files import rows_to_csv
from archonsim.result.read import check_schema, from_tree
from archonsim.result.values import Amount, Count, Number, Plain, Whole

SCHEMA: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockAdvice:
    """One block.

    Attributes
    ----------
    block : str
    density : float
        Share of fused weights that are not zero, as the product of the three layers' densities.
    survival : float or None
        Share of candidates that survive both ReLUs, as the product of the two masks' densities;
        None without masks.
    estimated_fused, estimated_plain : number or None
        Cycles of the block by the closed form; fused, it needs `survival`.
    fused_cycles, plain_cycles : number or None
        Cycles of the block as simulated; None where one way cannot run.
    fused_total, plain_total : number or None
        Cycles of the whole network with this block one way and all others as they are: the block's
        neighbours included, whose maps may stay on chip one way and not the other.
    reason : str
        Why one way cannot run.
    """

    block: str
    density: Amount
    survival: Amount | None
    estimated_fused: Amount | None
    estimated_plain: Amount
    fused_cycles: Count | None
    plain_cycles: Count | None
    fused_total: Count | None
    plain_total: Count | None
    reason: str

    @property
    def expected(self) -> bool | None:
        """Whether the closed form says that fusing pays."""
        return None if self.estimated_fused is None else self.estimated_fused < self.estimated_plain

    @property
    def pays(self) -> bool | None:
        """Whether the simulated network is faster with the block fused."""
        return (
            None
            if self.fused_total is None or self.plain_total is None
            else self.fused_total < self.plain_total
        )

    @property
    def agrees(self) -> bool | None:
        """Whether both say the same."""
        return None if self.pays is None or self.expected is None else self.pays == self.expected

    @property
    def saved(self) -> Number | None:
        """Cycles of the network that fusing the block saves."""
        return (
            None
            if self.fused_total is None or self.plain_total is None
            else self.plain_total - self.fused_total
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        verdict = {
            "expected": self.expected,
            "pays": self.pays,
            "agrees": self.agrees,
            "saved": self.saved,
        }
        return {**dataclasses.asdict(self), **verdict}


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """All blocks of a workload on one machine.

    Attributes
    ----------
    arch, workload, digest, masks : str
    mask_source : str
        ``"trained"``, ``"synthetic"``, ...
    seed : int
    image_numbers : tuple of int
        Images that the cycles are means over.
    total_cycles : number
        Of the network as it is.
    machine : dict
        The resolved description.
    blocks : tuple of BlockAdvice
    """

    arch: str
    workload: str
    digest: str
    masks: str
    mask_source: str
    seed: Whole
    image_numbers: tuple[Whole, ...]
    total_cycles: Count
    machine: dict[str, Plain]
    blocks: tuple[BlockAdvice, ...]

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any], source: str = "the advice") -> Advice:
        """Read the JSON form; `source` names it in messages.

        Raises
        ------
        ResultError
            It is of another form, a key is missing, or a value is not what it must be.
        """
        check_schema(tree, (SCHEMA,), source)
        return from_tree(cls, tree, source)

    @property
    def disagreements(self) -> tuple[str, ...]:
        """Blocks on which the closed form and the simulator differ."""
        return tuple(one.block for one in self.blocks if one.agrees is False)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        tree: dict[str, Any] = {"schema": SCHEMA}
        tree |= {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return tree | {
            "disagreements": self.disagreements,
            "blocks": [one.to_dict() for one in self.blocks],
        }

    def to_csv(self) -> str:
        """Return one row for each block."""
        return rows_to_csv([one.to_dict() for one in self.blocks])
