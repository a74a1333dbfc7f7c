"""What a sweep asks: as options or Python arguments give it, as a TOML file does, and as its folder remembers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from archonsim.errors import MaskError, SpecError, nearest
from archonsim.machines.registry import machine_names
from archonsim.runs.scenario import Images, as_fidelity, as_images, as_names
from archonsim.runs.simulate import Fidelity
from archonsim.spec.load import Overrides, flat_items, override_pairs, read_toml
from archonsim.sweeps.grid import Grid, make_grid
from archonsim.sweeps.values import parse_values
from archonsim.trace.what_if import MaskPolicy

#: Keys of a sweep file.
KEYS = ("arch", "workload", "param", "set", "masks", "fidelity", "images", "seed")

Names = str | Sequence[str]
Values = str | int | float | bool | Sequence[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A sweep, checked.

    Attributes
    ----------
    archs, workloads : tuple of str
    parameters : dict of ``KEY`` or ``ARCH.KEY`` to a tuple of values
    fixed : dict of ``KEY`` or ``ARCH.KEY`` to a value
    masks : tuple of str
        One empty text in ideal fidelity, which uses none.
    fidelity : {"cycle", "ideal"}
    images : str
        ``"all"``, or numbers separated by commas; empty in ideal fidelity, which depends on none.
    seed : int
        Of random and flipped masks; 0 in ideal fidelity.
    """

    archs: tuple[str, ...]
    workloads: tuple[str, ...]
    parameters: dict[str, tuple[Any, ...]]
    fixed: dict[str, Any]
    masks: tuple[str, ...]
    fidelity: Fidelity
    images: str
    seed: int

    @property
    def grid(self) -> Grid:
        """All points; raises as `make_grid` does."""
        return make_grid(
            archs=self.archs,
            workloads=self.workloads,
            masks=self.masks,
            parameters=self.parameters,
            fixed=self.fixed,
        )

    @property
    def one_image(self) -> bool:
        """Whether every figure is a whole number, of one image or of none."""
        return self.images != "all" and "," not in self.images

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def ask(
    arch: Names,
    workload: Names | Path | Sequence[Path | str],
    params: Mapping[str, Values] | Sequence[str] = (),
    *,
    set: Overrides = (),
    masks: Names = "trace",
    fidelity: str = "cycle",
    images: Images = 0,
    seed: int = 0,
) -> Question:
    """Check a sweep; arguments as :func:`archonsim.sweep` takes them.

    Raises
    ------
    SpecError, MaskError
        Anything is unknown, ill-typed, empty or overlapping.
    """
    exact, numbers = as_fidelity(fidelity), as_images(images)
    listed = (masks,) if isinstance(masks, str) else tuple(masks)
    policies = tuple(str(MaskPolicy.parse(one, seed)) for one in listed)
    if exact == "ideal" and policies != ("trace",):
        raise MaskError(
            f"--masks {','.join(listed)}: ideal fidelity uses no masks; use --fidelity cycle"
        )
    ideal = exact == "ideal"
    question = Question(
        archs=tuple(as_names(arch, machine_names)),
        workloads=(
            (str(workload),) if isinstance(workload, str | Path) else tuple(map(str, workload))
        ),
        parameters=_parameters(params),
        fixed=override_pairs(set),
        masks=("",) if ideal else policies,
        fidelity=exact,
        images="" if ideal else "all" if numbers is None else ",".join(map(str, numbers)),
        seed=0 if ideal else seed,
    )
    question.grid  # noqa: B018  # the rest of the checks
    return question


def _parameters(params: Mapping[str, Values] | Sequence[str]) -> dict[str, tuple[Any, ...]]:
    pairs: list[tuple[str, Any]] = []
    for text in () if isinstance(params, Mapping) else params:
        key, equals, listed = text.partition("=")
        if not equals or not key.strip():
            raise SpecError(
                f"--param {text!r}: write KEY=VALUES, for example --param pe.adders=2..12"
            )
        pairs.append((key.strip(), listed))
    found: dict[str, tuple[Any, ...]] = {}
    for key, values in params.items() if isinstance(params, Mapping) else pairs:
        if key in found:
            raise SpecError(f"--param {key} is there twice; give all its values in one")
        found[key] = _values(key, values)
    return found


def _values(key: str, values: Any) -> tuple[Any, ...]:
    """Read a text; take sequences, numpy's arrays among them, and single values as they are."""
    if isinstance(values, str):
        return parse_values(key, values)
    plain = values.tolist() if hasattr(values, "tolist") else values
    return tuple(plain) if isinstance(plain, Sequence) else (plain,)


def read_question(path: Path) -> Question:
    """Read a sweep file; see ``docs/sweep.md``.

    Raises
    ------
    SpecError, MaskError
        As `ask`; or a key that a sweep file does not have.
    """
    table = read_toml(path)
    for key in table:
        if key not in KEYS:
            raise SpecError(f"{path}: unknown key {key!r}{nearest(key, KEYS)}")
    for key in ("arch", "workload"):
        if key not in table:
            raise SpecError(
                f"{path}: {key} is missing; a sweep file names at least arch and workload"
            )
    for key in ("arch", "workload", "masks"):
        names = table.get(key, "")
        if not all(
            isinstance(name, str) for name in (names if isinstance(names, list) else [names])
        ):
            raise SpecError(f"{path}: {key} is {names!r}; it must be a text, or a list of texts")
    for key in ("param", "set"):
        if not isinstance(table.get(key, {}), dict):
            raise SpecError(f"{path}: {key} is {table[key]!r}; it must be a table of dotted keys")
    try:
        return ask(  # TOML reads pe.rows = 4 as a table in a table: back to dotted keys
            table["arch"],
            table["workload"],
            dict(flat_items(table.get("param", {}))),
            set=dict(flat_items(table.get("set", {}))),
            masks=table.get("masks", "trace"),
            fidelity=table.get("fidelity", "cycle"),
            images=table.get("images", 0),
            seed=table.get("seed", 0),
        )
    except (TypeError, AttributeError) as error:
        raise SpecError(f"{path}: a value is of the wrong type: {error}") from error
    except (SpecError, MaskError) as error:
        raise type(error)(f"{path}: {error}") from error
