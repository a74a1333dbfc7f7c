"""Training recipes as data: one TOML file each in ``workloads/recipes``."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from archonsim.errors import WorkloadError, nearest
from archonsim.network.workload import Flavour

#: Parts of a network that a penalty may name.
PART = re.compile(r"head|tail|fc|se|blocks|predictors|b(\d+)(?:-b(\d+))?")
PARTS = "head, tail, fc, se, blocks, predictors, a block (b3) or some (b1-b7)"
FOLDER = Path(__file__).parent / "recipes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Some epochs at one resolution and batch size.

    Attributes
    ----------
    width : float
        Share of the wide channels that a step trains, in each block that is to fuse.
    fixed : bool
        The first channels at every step, instead of a window drawn for each step.
    widen : float
        Share of the channels trained so far: before the stage, the others become perturbed copies
        of them. 0: no such thing.
    noise : float
        Strength of that perturbation.
    plain : bool
        Compute with PyTorch's own layers in bfloat16, not on the kernels. Quicker where the
        channels of a step are few enough to stay in the cache between layers.
    """

    epochs: float
    batch: int
    resolution: int
    width: float = 1.0
    fixed: bool = False
    widen: float = 0.0
    noise: float = 0.0
    plain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Learning rates of some epochs, one an epoch, in a schedule of several such pieces.

    Attributes
    ----------
    values : tuple of float
        One for each epoch; for the shape ``values`` alone.
    shape : {"values", "cosine", "cubic"}
        From `start` down to `end` over `period` epochs, then `end`. Cubic: ``(start - end) (1 - e /
        period)^3 + end``.
    epochs : int
        Epochs that the piece lasts; 0: to the end.
    """

    values: tuple[float, ...] = ()
    shape: Literal["values", "cosine", "cubic"] = "values"
    start: float = 0.0
    end: float = 0.0
    period: int = 1
    epochs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Training of one flavour.

    Attributes
    ----------
    stages : tuple of Stage
    peak_rate, final_rate : float
        Learning rate: linear warm-up over the share `warmup` of the steps, then a cosine down to
        `final_rate`.
    rates : tuple of Rate
        Learning rates by epoch instead. An epoch then has as many steps as whole batches.
    weight_decay : float
        Added to the gradient as so many times the weight; never for depthwise kernels, biases and
        normalisations.
    l2 : dict of part to float
        Instead of `weight_decay`: a penalty ``l2 * sum(w^2)`` in the loss (the gradient gets twice
        as much), by part: ``head``, ``blocks``, ``b1`` or ``b1-b7`` (these before ``blocks``),
        ``se``, ``tail``, ``fc``, ``predictors``. A part left out has none.
    clip : float
        Largest norm of the gradient; 0: any.
    ramp_epochs : int
        Epochs over which sparsity grows, once an epoch; the weights to keep are chosen anew after
        every step of them.
    keep : {"last", "best", "best_after_ramp"}
        Which weights a phase ends with: the last ones, or those of the epoch that did best on the
        test images.
    predictors : {"constant", "projected"}
        Ternary kernels stay those of the pruned weights, or are trained and made ternary again
        after every step.
    frozen : tuple of str
        Roles of layers outside blocks whose kernels do not train (flavour ``pred``).
    kept_weights : bool
        Train what pruning left of PW2, too, where that is a block's last layer (flavour ``pred``).
    ramp : float
        Share of the steps over which sparsity grows (flavour ``pruned``).
    refit : int
        Training images from which all weights to keep are chosen and fitted before training starts,
        instead of a ramp.
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
    nesterov: bool = True
    clip: float = 5.0
    rates: tuple[Rate, ...] = ()
    l2: dict[str, float] = field(default_factory=dict)
    ramp_epochs: int = 0
    keep: Literal["last", "best", "best_after_ramp"] = "last"
    predictors: Literal["constant", "projected"] = "constant"
    frozen: tuple[str, ...] = ()
    kept_weights: bool = False
    ramp: float = 0.0
    refit: int = 0
    calibrate: int = 0

    def __post_init__(self) -> None:
        for part in self.l2:
            if not PART.fullmatch(part):
                raise WorkloadError(
                    f"phase {self.flavour}: l2 has a part {part!r}; it must be {PARTS}"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one network is trained through its flavours.

    Attributes
    ----------
    pad, flip, one_shift : int, bool, bool
        Augmentation: largest shift in pixels, whether to mirror, whether all images of a batch are
        shifted alike.
    dense : tuple of str
        Blocks (``b0``) and roles (``tail_pw``) that are not pruned, beside the head and the
        classifier.
    fused, autocast, channels_last : bool
        How to compute: on the CPU kernels; in bfloat16 where torch thinks it safe; in which layout.
    start : {"", "torchvision"}
        Whose weights the first phase starts from: nobody's, or those of torchvision's MobileNetV2,
        from a file that ``--start`` names.
    statistics_images : int
        Training images over which normalisation statistics are averaged after each phase; 0 keeps
        the running ones.
    monitor_images : int
        Test images that vanilla and pruned are measured on; 0: all. ``pred`` is always measured on
        all.
    """

    name: str
    network: str
    dataset: str
    note: str
    phases: tuple[Phase, ...]
    seed: int = 0
    pad: int = 2
    flip: bool = True
    one_shift: bool = False
    dense: tuple[str, ...] = ()
    pointwise_sparsity: float = 0.8
    depthwise_sparsity: float = 0.7
    fused: bool = False
    autocast: bool = False
    channels_last: bool = False
    start: Literal["", "torchvision"] = ""
    statistics_images: int = 0
    monitor_images: int = 0


def build_part(kind: type[Any], row: dict[str, Any], where: str) -> Any:
    """Make a :class:`Recipe` or a part of one from a table.

    Raises
    ------
    WorkloadError
        A key is unknown or missing; `where` names the place.
    """
    known = {field.name for field in dataclasses.fields(kind)}
    for key in row:
        if key not in known:
            raise WorkloadError(f"{where}: unknown key {key!r}{nearest(key, known)}")
    try:
        return kind(
            **{
                key: tuple(value) if isinstance(value, list) else value
                for key, value in row.items()
            }
        )
    except TypeError as error:
        raise WorkloadError(f"{where}: {error}") from error


def parse_recipe(text: str, where: str) -> Recipe:
    """Turn the text of a recipe into a :class:`Recipe`; `where` names it in errors."""
    table = tomllib.loads(text)
    phases = []
    for row in table.pop("phase", []):
        stages = tuple(
            build_part(Stage, stage, f"{where}: stage of {row.get('flavour')}")
            for stage in row.pop("stage", [])
        )
        phases.append(
            build_part(Phase, {**row, "stages": stages}, f"{where}: phase {row.get('flavour')}")
        )
    return build_part(Recipe, {**table, "phases": tuple(phases)}, where)  # type: ignore[no-any-return]
