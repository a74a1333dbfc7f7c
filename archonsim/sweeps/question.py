"""The question of a sweep, from options, Python arguments, a TOML file or a sweep's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Unpack

from archonsim.errors import MaskError, SpecError, nearest
from archonsim.machines.registry import machine_names
from archonsim.runs.comparison import as_names
from archonsim.runs.scenario import Scenario, Settings, SharedOptions, as_fidelity, as_images
from archonsim.runs.simulate import Fidelity
from archonsim.spec.load import flat_items, override_pairs, read_toml
from archonsim.sweeps.grid import Grid, Point, make_grid
from archonsim.sweeps.values import parse_values
from archonsim.trace.what_if import MaskPolicy

#: Keys of a sweep file.
KEYS = ("arch", "workload", "param", *(field.name for field in fields(Settings)))

Names = str | Sequence[str]
Values = str | int | float | bool | Sequence[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A sweep, checked.

    Attributes
    ----------
    archs, workloads : tuple of str
    parameters : dict of ``KEY`` or ``ARCH.KEY`` to a tuple of values
    masks : tuple of str
        One empty text in ideal fidelity, which uses none.
    settings : Settings
        Of all points: `set` holds the changes of every point by ``KEY`` or ``ARCH.KEY``; `masks` is
        replaced point by point.
    """

    archs: tuple[str, ...]
    workloads: tuple[str, ...]
    parameters: dict[str, tuple[Any, ...]]
    masks: tuple[str, ...]
    settings: Settings

    @property
    def fidelity(self) -> Fidelity:
        """``"cycle"`` or ``"ideal"``."""
        return as_fidelity(self.settings.fidelity)

    @property
    def images(self) -> str:
        """``"all"``, or numbers separated by commas; empty in ideal fidelity (no images)."""
        numbers = as_images(self.settings.images)
        if self.fidelity == "ideal":
            return ""
        return "all" if numbers is None else ",".join(map(str, numbers))

    @property
    def seed(self) -> int:
        """Of random and flipped masks; 0 in ideal fidelity."""
        return 0 if self.fidelity == "ideal" else self.settings.seed

    @property
    def grid(self) -> Grid:
        """All points; raises as `make_grid` does."""
        return make_grid(
            archs=self.archs,
            workloads=self.workloads,
            masks=self.masks,
            parameters=self.parameters,
            fixed=override_pairs(self.settings.set),
        )

    @property
    def one_image(self) -> bool:
        """Whether every figure is a whole number, of one image or of none."""
        return self.images != "all" and "," not in self.images

    def scenario(self, point: Point, workload: str) -> Scenario:
        """Return what a point runs; `workload` is its name, or a path that any process can open."""
        found = self.settings.on(point.arch, workload, set=point.overrides)
        return replace(found, masks=point.masks or "trace", images=self.images or 0, seed=self.seed)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; a file of machine parameters stands there with what it holds."""
        tree = {
            "archs": self.archs,
            "workloads": self.workloads,
            "parameters": self.parameters,
            "fixed": override_pairs(self.settings.set),
            "masks": self.masks,
            "fidelity": self.fidelity,
            "images": self.images,
            "seed": self.seed,
        }
        if self.settings.config is not None:
            tree["config"] = read_toml(Path(self.settings.config))
        if self.settings.energy is not None:
            tree["energy"] = self.settings.energy
        return tree


def ask(
    arch: Names,
    workload: Names | Path | Sequence[Path | str],
    params: Mapping[str, Values] | Sequence[str] = (),
    *,
    masks: Names = "trace",
    **options: Unpack[SharedOptions],
) -> Question:
    """Check a sweep; arguments as :func:`archonsim.sweep` takes them.

    Raises
    ------
    SpecError, MaskError
        Anything is unknown, ill-typed, empty or overlapping.
    """
    settings = Settings(**options)
    ideal = settings.fidelity == "ideal"
    listed = (masks,) if isinstance(masks, str) else tuple(masks)
    policies = tuple(str(MaskPolicy.parse(one, settings.seed)) for one in listed)
    if ideal and policies != ("trace",):
        raise MaskError(
            f"--masks {','.join(listed)}: ideal fidelity uses no masks; use --fidelity cycle"
        )
    question = Question(
        archs=tuple(as_names(arch, machine_names)),
        workloads=(
            (str(workload),) if isinstance(workload, str | Path) else tuple(map(str, workload))
        ),
        parameters=_parameters(params),
        masks=("",) if ideal else policies,
        settings=settings,
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
    for key in ("config", "energy"):
        if not isinstance(table.get(key, ""), str):
            raise SpecError(f"{path}: {key} is {table[key]!r}; it must be a text")
    for key in ("param", "set"):
        if not isinstance(table.get(key, {}), dict):
            raise SpecError(f"{path}: {key} is {table[key]!r}; it must be a table of dotted keys")
    try:
        names = {key: table.pop(key) for key in ("arch", "workload")}
        # TOML reads pe.rows = 4 as a table in a table: back to dotted keys.
        params, fixed = (dict(flat_items(table.pop(key, {}))) for key in ("param", "set"))
        return ask(**names, params=params, set=fixed, **table)
    except (TypeError, AttributeError) as error:
        raise SpecError(f"{path}: a value is of the wrong type: {error}") from error
    except (SpecError, MaskError) as error:
        raise type(error)(f"{path}: {error}") from error
