"""What predicting a block's ReLUs takes, as their predictor declares it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from archonsim.errors import WorkloadError

Unit = Literal["adders", "multipliers"]
#: No number of operations or bits that a load states exceeds this.
_MOST = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionLoad:
    """What one ReLU's prediction does, for each product of its layer and for each sum.

    A machine makes cycles, words and energy of it: an operation is one of its narrow adders or
    multipliers for a cycle, bits are moved and stored as they are.

    Attributes
    ----------
    unit : {"adders", "multipliers"}
        What works: narrow adders, or the multipliers.
    steps : int
        Operations for one product of a weight and an input.
    share : float
        Share of the layer's products that are done, on average.
    input_bits, weight_bits : int
        Of an input, and of a weight with its sign.
    index_bits : int
        Beside each weight.
    code_bits : int
        Of the map that the block's second prediction reads; 0 where only keep bits are made.
    compares : int
        Comparisons of a sum at its end.
    parameters : int
        16-bit words of each channel beside its weights.
    """

    unit: Unit = "adders"
    steps: int = 1
    share: float = 1.0
    input_bits: int = 4
    weight_bits: int = 2
    index_bits: int = 0
    code_bits: int = 0
    compares: int = 1
    parameters: int = 1

    def __post_init__(self) -> None:
        """Refuse what no hardware does."""
        if self.unit not in get_args(Unit):
            raise WorkloadError(f"unit is {self.unit!r}; it must be {' or '.join(get_args(Unit))}")
        least = {"steps": 1, "input_bits": 1, "weight_bits": 1}
        for name in (one.name for one in fields(self)[3:]):
            self._check(name, least.get(name, 0))
        self._check("steps", 1)
        if isinstance(self.share, bool) or not isinstance(self.share, int | float):
            raise WorkloadError(f"share is {self.share!r}; it must be a number from 0 to 1")
        if not 0 <= self.share <= 1:
            raise WorkloadError(f"share is {self.share}; it must be from 0 to 1")

    def _check(self, name: str, least: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST:
            raise WorkloadError(
                f"{name} is {value!r}; it must be a whole number from {least} to {_MOST}"
            )

    def operations(self, products: int) -> int:
        """Operations for so many products of the layer, rounded up."""
        return self.shared(products * self.steps)

    def shared(self, count: int) -> int:
        """Return the share of a count that is done, rounded up."""
        return count if self.share == 1 else -(-count * round(self.share * 10**6) // 10**6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """How a block's two ReLUs are predicted.

    Attributes
    ----------
    predictor : str
        Its name.
    loads : (PredictionLoad, PredictionLoad)
        Of the first and the second ReLU.
    """

    predictor: str
    loads: tuple[PredictionLoad, PredictionLoad]

    def __post_init__(self) -> None:
        """Refuse a second prediction that has nothing to read."""
        if self.loads[0].code_bits < 1:
            raise WorkloadError(
                "code_bits of the first load is 0; it must be at least 1, for the second prediction"
                " reads its code"
            )

    def to_text(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> Prediction:
        """Read the JSON form.

        Raises
        ------
        WorkloadError
            It is none, or a number is impossible.
        """
        try:
            tree = json.loads(text)
            name, (first, second) = tree["predictor"], tree["loads"]
            loads = _load(first), _load(second)
        except (ValueError, TypeError, KeyError, RecursionError):
            raise WorkloadError(
                "prediction is no JSON of a predictor's name and its two loads"
            ) from None
        if not isinstance(name, str) or not name:
            raise WorkloadError(f"prediction: predictor is {name!r}; it must be a name")
        return cls(predictor=name, loads=loads)


def _load(tree: Mapping[str, Any]) -> PredictionLoad:
    return PredictionLoad(**tree)


#: Ternary weights on 4-bit inputs (ICS'21): what a block has that says nothing of predictors. A sum
#: becomes a 4-bit code by four comparisons, one after the other, or a keep bit by one (own
#: decision, docs/buildable.md): the 15 thresholds into which batch normalisation and rounding fold
#: are evenly spaced, so that 8, 4, 2 and 1 times their distance are subtracted as in a division:
#: two words a channel.
TERNARY = Prediction(
    predictor="ternary",
    loads=(
        PredictionLoad(code_bits=4, compares=4, parameters=2),
        PredictionLoad(),
    ),
)
