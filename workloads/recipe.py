"""Training recipes as data: one TOML file each in ``workloads/recipes``."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archonsim.errors import WorkloadError, nearest
from archonsim.workload.workload import Flavour

FOLDER = Path(__file__).parent / "recipes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Some epochs at one resolution and batch size.

    Attributes
    ----------
    width : float
        Share of each block's wide channels that a step trains.
    fixed : bool
        The first channels at every step, instead of a window drawn for each step.
    widen : float
        Share of the channels trained so far: before the stage, the others become perturbed copies of them. 0: no such thing.
    noise : float
        Strength of that perturbation.
    """

    epochs: float
    batch: int
    resolution: int
    width: float = 1.0
    fixed: bool = False
    widen: float = 0.0
    noise: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Training of one flavour.

    Attributes
    ----------
    stages : tuple of Stage
    peak_rate, final_rate : float
        Learning rate: linear warm-up over the share `warmup` of the steps, then a cosine down to `final_rate`.
    ramp : float
        Share of the steps over which sparsity grows (flavour ``pruned``).
    refit : int
        Training images from which all weights to keep are chosen and fitted before training starts, instead of a ramp.
    calibrate : int
        Training images from which predictors are fitted before they are trained (flavour ``pred``).
    """

    flavour: Flavour
    stages: tuple[Stage, ...]
    peak_rate: float
    final_rate: float = 0.0
    warmup: float = 0.2
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    momentum: float = 0.9
    ramp: float = 0.0
    refit: int = 0
    calibrate: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one network is trained through its flavours.

    Attributes
    ----------
    pad, flip : int, bool
        Augmentation: largest shift in pixels, and whether to mirror.
    fused, autocast, channels_last : bool
        How to compute: on the CPU kernels; in bfloat16 where torch thinks it safe; in which layout.
    statistics_images : int
        Training images over which normalisation statistics are averaged after each phase; 0 keeps the running ones.
    monitor_images : int
        Test images that vanilla and pruned are measured on; 0: all. ``pred`` is always measured on all.
    """

    name: str
    network: str
    dataset: str
    note: str
    phases: tuple[Phase, ...]
    seed: int = 0
    pad: int = 2
    flip: bool = True
    pointwise_sparsity: float = 0.8
    depthwise_sparsity: float = 0.7
    fused: bool = False
    autocast: bool = False
    channels_last: bool = False
    statistics_images: int = 0
    monitor_images: int = 0


def _build(kind: type[Any], row: dict[str, Any], where: str) -> Any:
    known = {field.name for field in dataclasses.fields(kind)}
    for key in row:
        if key not in known:
            raise WorkloadError(f"{where}: unknown key {key!r}{nearest(key, known)}")
    try:
        return kind(**row)
    except TypeError as error:
        raise WorkloadError(f"{where}: {error}") from error


def parse_recipe(text: str, where: str) -> Recipe:
    """Turn the text of a recipe into a :class:`Recipe`; `where` names it in errors."""
    table = tomllib.loads(text)
    phases = []
    for row in table.pop("phase", []):
        stages = tuple(_build(Stage, stage, f"{where}: stage of {row.get('flavour')}") for stage in row.pop("stage", []))
        phases.append(_build(Phase, {**row, "stages": stages}, f"{where}: phase {row.get('flavour')}"))
    return _build(Recipe, {**table, "phases": tuple(phases)}, where)  # type: ignore[no-any-return]


def load_recipe(network: str, name: str) -> Recipe:
    """Read ``recipes/NETWORK-NAME.toml``."""
    path = FOLDER / f"{network}-{name}.toml"
    if not path.is_file():
        known = [file.stem for file in FOLDER.glob("*.toml")]
        raise WorkloadError(f"no recipe {path.stem!r}{nearest(path.stem, known)}")
    return parse_recipe(path.read_text("utf-8"), path.name)
