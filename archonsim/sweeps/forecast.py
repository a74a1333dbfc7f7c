"""What a sweep will take, from a few of its points, before any of them runs."""

from __future__ import annotations

from dataclasses import replace

from archonsim.errors import UserError
from archonsim.network.workload import Workload
from archonsim.result.forecast import Forecast, Part
from archonsim.runs.forecast import START_SECONDS, run_part, speed
from archonsim.runs.scenario import as_workload
from archonsim.sweeps.question import Question

#: Points of each workload on each machine that are looked at (own decision): the first, the last,
#: and some between.
LOOKED_AT = 5
#: Points of a sweep whose workload and machine are looked up, at most.
MOST_POINTS = 20_000


def forecast_sweep(question: Question, budget: int) -> Forecast:
    """Forecast a sweep; points that cannot run take nothing."""
    grid, opened = question.grid, dict[str, Workload]()
    points = len(grid)
    step = -(-points // MOST_POINTS)
    of_pair: dict[tuple[str, str], list[int]] = {}
    for index in range(0, points, step):
        point = grid[index]
        of_pair.setdefault((point.workload, point.arch), []).append(index)
    parts: list[Part] = []
    notes: dict[str, None] = {}
    for (name, _), indices in of_pair.items():
        count = min(LOOKED_AT, len(indices))
        for place in range(count):
            first, last = (len(indices) * at // count for at in (place, place + 1))
            point = grid[indices[(first + last - 1) // 2]]
            try:
                work = opened.get(name) or as_workload(name)
                opened[name] = work
                scenario = replace(question.scenario(point, name), workload=work)
                part, note = run_part(scenario.prepare())
            except UserError:
                continue
            parts.append(replace(part, times=part.times * (last - first) * step))
            notes |= {note: None} if note else {}
    looked = f"{min(points, sum(1 for _ in parts))} of {points} points looked at"
    return Forecast(
        command="sweep",
        parts=tuple(parts),
        measure=speed,
        start_seconds=START_SECONDS,
        budget=budget,
        notes=(looked, *notes),
    )
