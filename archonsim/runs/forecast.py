"""What runs and checks will take, before they start: from shapes and counts of weights.

Seconds are the reference machine's (an idle core on which `_spin` takes `SPIN_SECONDS`), times how
much longer this machine takes for the same short computation, measured on the spot.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from archonsim.errors import UserError
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.workload import Workload
from archonsim.result.forecast import Forecast, Part, kept_share
from archonsim.stats.work import Work
from archonsim.trace.kept import KEPT

if TYPE_CHECKING:  # machines behind it, which inspect does not need
    from archonsim.runs.run import Run

#: Seconds of `_spin` on the reference machine (own decision: the one that constants were measured
#: on), and how often it is tried; the quickest counts.
SPIN_SECONDS, SPINS = 3.5e-3, 20

#: Seconds until a simulation begins (measured: imports, kernels loaded), and until another command
#: does where that differs: a file is read, or frameworks are imported.
START_SECONDS = 2.4
OTHER_STARTS = {"inspect": 0.7, "export": 5.0}

#: Seconds a MAC: of masks that are decoded, of a check layer by layer, and of an export (torch's
#: own pass, ours that must agree with it, and the check).
DECODE_SECONDS, CHECK_SECONDS, EXPORT_SECONDS = 2e-9, 2.5e-9, 20e-9
#: Seconds a candidate and output pixel of a check through the fused weights.
FUSED_CHECK_SECONDS = 2e-9
#: Bytes a value of a map in a check, in double precision and with its copies; and of a candidate of
#: the part that is fused at a time.
CHECK_BYTES, FUSED_PART_BYTES = 40, 60

#: Seconds a layer and a MAC on a machine that forecasts nothing itself: no better than the order of
#: magnitude.
LAYER_SECONDS, MAC_SECONDS = 0.03, 2e-9


def _spin() -> float:
    since = time.thread_time()
    total = 0
    for number in range(50_000):
        total += number * number & 7
    return time.thread_time() - since


@cache
def speed() -> float:
    """Return how much longer this machine takes than the one that constants were measured on."""
    return min(_spin() for _ in range(SPINS)) / SPIN_SECONDS


def default_memory() -> int:
    """Return half of this machine's memory, in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def parse_memory(text: str | None) -> int:
    """Read ``"4G"``, ``"500M"`` or a number of bytes; None for half of the machine's memory.

    Raises
    ------
    UserError
        It is none of these.
    """
    if text is None:
        return default_memory()
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmgt]?)b?", text.strip().lower())
    size = 0.0 if found is None else float(found[1]) * 1000 ** " kmgt".index(found[2] or " ")
    if size < 1:
        raise UserError(f"--memory is {text!r}; write bytes, such as 4G, 500M or 2000000000")
    return int(size)


def run_part(run: Run) -> tuple[Part, str]:
    """Forecast a run; return a note beside: what is not forecast, or why the run will fail.

    Failing is the run's: in a comparison or a sweep it is a row with its reason.
    """
    work, machine = run.workload, run.machine
    times = 1 if run.images is None and not work.images else len(run.images or range(work.images))
    note = ""
    forecasting: Callable[..., list[Work]] | None = getattr(machine, "forecast", None)
    if run.fidelity == "ideal":
        times, steps = 1, [Work(name=one.name, seconds=1e-3) for one in work.layers()]
    elif forecasting is not None and work.trace is not None:
        try:
            steps = forecasting(work, run.spec)
        except UserError as error:
            steps, note = [], str(error)
    else:
        steps = [_plain(layer) for layer in work.layers() if layer.is_compute]
        note = f"{machine.name}: an order of magnitude only, and no events"
    return Part(what=machine.name, workload=work.name, times=times, steps=tuple(steps)), note


def _plain(layer: Layer) -> Work:
    return Work(name=layer.name, seconds=LAYER_SECONDS + layer.macs * MAC_SECONDS)


def forecast_runs(command: str, runs: Sequence[Run], budget: int) -> Forecast:
    """Forecast runs one after the other."""
    found = [run_part(run) for run in runs]
    return Forecast(
        command=command,
        parts=tuple(part for part, _ in found),
        measure=speed,
        start_seconds=START_SECONDS,
        budget=budget,
        notes=tuple(dict.fromkeys(note for _, note in found if note)),
    )


def _decode(block: Block) -> float:
    """Seconds in which the masks of one image are decoded: the predictors run again."""
    return (block.layers[0].macs + block.layers[1].macs) * DECODE_SECONDS


def _check(block: Block, candidates: int) -> Work:
    """Forecast the check of one image; `candidates` is 0 where it goes layer by layer."""
    maps = sum(layer.out_channels * layer.out_h * layer.out_w for layer in block.layers)
    seconds, peak = _decode(block) + block.macs * CHECK_SECONDS, maps * CHECK_BYTES
    if candidates:
        from archonsim.trace.fused_weight import PART_CANDIDATES

        seconds += candidates * block.dw.out_h * block.dw.out_w * FUSED_CHECK_SECONDS
        peak += min(candidates, PART_CANDIDATES) * FUSED_PART_BYTES
    return Work(name=block.name, candidates=candidates, peak_bytes=peak, seconds=seconds)


def forecast_verify(work: Workload, images: int, *, fused: bool, budget: int) -> Forecast:
    """Forecast `verify` of so many images."""
    steps = []
    for block in work.blocks():
        if block.predicted and work.trace is not None:
            number = 0
            if fused:
                from archonsim.machines.archon.forecast import fused_candidates

                number = fused_candidates(block, work.trace)
            steps.append(_check(block, number))
    return _alone("verify", work.name, images, steps, budget)


def forecast_inspect(work: Workload, images: int, budget: int) -> Forecast:
    """Forecast `inspect` of so many images' masks."""
    steps = [
        Work(name=block.name, seconds=_decode(block), peak_bytes=_map_bytes(block.layers))
        for block in work.blocks()
        if block.predicted
    ]
    return _alone("inspect", work.name, images, steps, budget)


def forecast_export(layers: Iterable[Layer], name: str, images: int, budget: int) -> Forecast:
    """Forecast an export of so many images, those that predictors are fitted to included."""
    steps = [
        Work(
            name=layer.name,
            seconds=layer.macs * EXPORT_SECONDS,
            peak_bytes=images * _map_bytes([layer]),
        )
        for layer in layers
        if layer.is_compute
    ]
    return _alone("export", name, max(1, images), steps, budget)


def _map_bytes(layers: Iterable[Layer]) -> int:
    return 4 * sum(layer.out_channels * layer.out_h * layer.out_w for layer in layers)


def _alone(command: str, name: str, times: int, steps: list[Work], budget: int) -> Forecast:
    part = Part(what=command, workload=name, times=times, steps=tuple(steps))
    return Forecast(
        command=command,
        parts=(part,),
        measure=speed,
        start_seconds=OTHER_STARTS.get(command, START_SECONDS),
        budget=budget,
    )


def apply_budget(budget: int) -> None:
    """Keep no more results for later than a budget leaves room for."""
    KEPT.limit(kept_share(budget))
