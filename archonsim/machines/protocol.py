"""What a machine is: the protocol of plug-ins, and of the machines that ship with archonsim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from archonsim.engine.observer import SILENT, Observer
from archonsim.machines.phases import PhaseResult
from archonsim.network.block import Block
from archonsim.network.workload import Workload
from archonsim.spec.resources import Resources
from archonsim.stats.work import Work
from archonsim.trace.image import ImageInputs
from archonsim.vocabulary.vocabulary import Vocabulary

if TYPE_CHECKING:  # kernels behind it
    from archonsim.pe.tile_trace import TileTrace

#: Called with the name of each layer or block that is done.
OnStep = Callable[[str], None]


class Simulation(Protocol):
    """A workload made ready to run on one machine in ``cycle`` fidelity; reused for all images."""

    def run(
        self, image: ImageInputs, on_step: OnStep, observer: Observer = SILENT
    ) -> list[PhaseResult]:
        """Simulate one image.

        `on_step` is called with the name of each layer or block that is done.

        A simulation whose `run` takes no observer works, too, but cannot be traced.
        """


class Machine(Protocol):
    """An accelerator.

    Attributes
    ----------
    name : str
        As in ``--arch``, and as registered.
    summary : str
        One line for ``archonsim archs``.
    spec_type : type
        Its description, a frozen dataclass with at least ``clock_mhz`` and ``dram``. With
        ``pe.rows`` and ``pe.cols``, its array can be rescaled (``--budget``).
    preset : str
        TOML text of the default description.
    includes, excludes : tuple of str
        What its cycles contain and what they do not, in ``cycle`` fidelity; `ideal_includes` and
        `ideal_excludes` likewise.
    vocabulary : Vocabulary
        Words declared in addition to the common ones: causes of stalls, owners of cycles,
        components, buffers, kinds of data. Optional in a plug-in that has none.
    """

    # Properties, so that a class attribute of a narrower type fits, too.
    @property
    def name(self) -> str:
        """Name as in ``--arch``."""

    @property
    def summary(self) -> str:
        """One line for ``archonsim archs``."""

    @property
    def spec_type(self) -> type:
        """Frozen dataclass of the description."""

    @property
    def preset(self) -> str:
        """TOML text of the default description."""

    @property
    def includes(self) -> tuple[str, ...]:
        """What the cycles of ``cycle`` fidelity contain."""

    @property
    def excludes(self) -> tuple[str, ...]:
        """What the cycles of ``cycle`` fidelity leave out."""

    @property
    def ideal_includes(self) -> tuple[str, ...]:
        """What the cycles of ``ideal`` fidelity contain."""

    @property
    def ideal_excludes(self) -> tuple[str, ...]:
        """What the cycles of ``ideal`` fidelity leave out."""

    @property
    def vocabulary(self) -> Vocabulary:
        """Words of its own."""

    def ideal(self, workload: Workload, spec: Any) -> list[PhaseResult]:
        """Evaluate the machine's closed-form model."""

    def prepare(self, workload: Workload, spec: Any) -> Simulation:
        """Make a workload ready for ``cycle`` fidelity."""

    def resources(self, spec: Any) -> Resources:
        """PEs, buffers and area, for comparisons."""

    def steps(self, workload: Workload) -> int:
        """How many times one simulated image calls ``on_step``."""


@runtime_checkable
class Remarking(Protocol):
    """A machine that has more to say about a run than what all of its runs contain."""

    def remarks(self, workload: Workload, spec: Any) -> tuple[str, ...]:
        """Return lines that stand with what a run includes."""


@runtime_checkable
class Detailing(Protocol):
    """A machine whose description decides what its cycles contain in ``cycle`` fidelity."""

    def details(self, workload: Workload, spec: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return further lines of what a run includes, and of what it excludes."""


@dataclass(frozen=True, slots=True)
class Densities:
    """What the cost of a fused block depends on, except its shape.

    Attributes
    ----------
    pw1, dw, pw2 : float
        Share of weights that are not zero.
    survival : float
        Share of candidates that survive both ReLUs.
    """

    pw1: float
    dw: float
    pw2: float
    survival: float


@runtime_checkable
class Fusing(Protocol):
    """A machine that may run a block fused: what ``archonsim advise`` needs in addition to runs."""

    def estimate_fused(self, block: Block, spec: Any, densities: Densities) -> float:
        """Estimate the cycles of a fused block in closed form."""

    def estimate_plain(self, workload: Workload, block: Block, spec: Any) -> float:
        """Estimate the cycles of a block run as three plain layers, in closed form.

        In `workload`, the block is not fused.
        """


@runtime_checkable
class Forecasting(Protocol):
    """A machine that can tell what a run takes before it starts, from shapes and weights alone."""

    def forecast(self, workload: Workload, spec: Any) -> list[Work]:
        """Forecast what one image takes to simulate in ``cycle`` fidelity, step by step."""


@runtime_checkable
class TileTracing(Protocol):
    """A machine whose main phase can be written down tile by tile: ``archonsim.tile_trace``."""

    def trace_tile(
        self,
        workload: Workload,
        spec: Any,
        image: ImageInputs,
        block: str,
        tile: int,
        arrival: Sequence[int] | None,
    ) -> TileTrace:
        """Write down one tile of a fused block; tiles count from 0, row by row.

        `arrival` holds the cycle from which on each beat may be sent; None: the tile's first.
        """
