"""Types of the values in results, with the bounds that files are checked for.

Bounds are wide (own decision): they keep out what no run can have written, so that sums over a
result stay within 64 bits and floating point.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field
from typing_extensions import TypeAliasType

#: Largest whole number that floating point, and so every JSON reader, holds exactly.
MOST = 2**53
#: Largest amount of time, energy or area.
MOST_AMOUNT = 1e18

#: A count: an integer for one image, a mean over several.
Number = int | float
#: A count that cannot be negative.
Count = (
    Annotated[int, Field(strict=True, ge=0, le=MOST)]
    | Annotated[float, Field(strict=True, ge=0, le=MOST)]
)
#: A difference of counts.
Difference = (
    Annotated[int, Field(strict=True, ge=-MOST, le=MOST)]
    | Annotated[float, Field(strict=True, ge=-MOST, le=MOST)]
)
#: A whole number that cannot be negative.
Whole = Annotated[int, Field(ge=0, le=MOST)]
#: Rows and columns of an array, and what else has a size.
Extent = Annotated[int, Field(ge=1, lt=2**31)]
#: A whole number.
Integer = Annotated[int, Field(ge=-MOST, le=MOST)]
#: Time, energy, area or a share.
Amount = Annotated[float, Field(ge=0, le=MOST_AMOUNT)]
#: Share of a whole.
Share = Annotated[float, Field(ge=0, le=1)]
#: A clock in MHz, and what else divides.
Positive = Annotated[float, Field(gt=0, le=1e12)]

#: Plain data, as a resolved description holds them.
if TYPE_CHECKING:
    Plain = Any
else:
    Plain = TypeAliasType(
        "Plain",
        bool
        | Annotated[int, Field(ge=-(2**63), lt=2**63)]
        | Annotated[float, Field(ge=-1e300, le=1e300)]
        | str
        | list["Plain"]
        | dict[str, "Plain"]
        | None,
    )


def added(values: Iterable[Number]) -> Number:
    """Return a sum: whole of whole numbers, of others rounded once.

    From Python 3.12 on, `sum` of floats is another one than before.
    """
    found = list(values)
    return sum(found) if all(isinstance(one, int) for one in found) else math.fsum(found)
