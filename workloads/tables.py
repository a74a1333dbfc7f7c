"""``python -m workloads.tables``.

Write the tables of results into docs/training.md and workloads/README.md.

Everything in them is read from ``workloads/reached`` and ``workloads/*.h5``. A test fails when a
page and its sources differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import typer

from archonsim.result.inspect import LayerContent, ReluContent, inspect_workload
from archonsim.tracefile.reader import open_workload
from workloads.book import experiments
from workloads.results import FOLDER, Result, read_results

HERE = Path(__file__).parent
#: A generated table stands between these lines.
BEGIN, END = "<!-- begin: python -m workloads.tables -->", "<!-- end -->"


def _percent(share: float | None, digits: int = 2) -> str:
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def _reached(result: Result | None) -> list[str]:
    if result is None:
        return ["not yet trained", "", "", "", ""]
    seconds = "not noted" if result.seconds is None else f"{result.seconds} s"
    accuracy = f"{_percent(result.test_accuracy)} of {result.test_images}"
    return [accuracy, f"`{result.recipe}`", f"{result.epochs:g}", seconds, result.device]


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def results_table() -> str:
    """All 25 experiments of ICS'21: the authors' accuracy and ours, and further networks."""
    results, rows, shown = read_results(FOLDER), [], set()
    for one in experiments():
        key = (one.network, one.flavour)
        shown.add(key)
        renamed = one.published_flavour != one.flavour
        reached = ["as `pruned`", "", "", "", ""] if renamed else _reached(results.get(key))
        rows.append([f"`{one.network}`", one.published_flavour, _percent(one.accuracy), *reached])
    rows += [
        [f"`{key[0]}`", key[1], "-", *_reached(result)]
        for key, result in results.items()
        if key not in shown
    ]
    return _table(
        ["network", "flavour", "authors", "here", "recipe", "epochs", "time", "device"], rows
    )


def files_table() -> str:
    """All workload files in this folder: what is in them, as `archonsim inspect` finds it."""
    rows = []
    for path in sorted(HERE.glob("*.h5")):
        workload = open_workload(path)
        found = inspect_workload(workload, file=path)
        blocks = [
            block for block in found.blocks if block.relu1 is not None and block.relu2 is not None
        ]
        kept = [
            _kept([one for one in some if one])
            for some in zip(*((block.relu1, block.relu2) for block in blocks), strict=True)
        ]
        weights = sum(block.fused_weights for block in blocks)
        fused = sum(block.fused_nonzero or 0 for block in blocks) / weights if weights else None
        about = workload.provenance
        accuracy = f"{_percent(about.test_accuracy)} of {about.test_images}"
        size = f"{path.stat().st_size / 1e6:.1f} MB"
        densities = ", ".join(
            _percent(_density(found.layers, role), 0) for role in ("pw1", "dw", "pw2")
        )
        shown = [
            about.flavour,
            accuracy,
            densities,
            "-" if fused is None else _percent(fused),
            ", ".join(_percent(one, 1) for one in kept) or "-",
        ]
        rows.append(
            [f"`{path.name}`", size, str(found.images), *shown, f"`{workload.digest[:16]}`"]
        )
    head = [
        "file",
        "size",
        "images",
        "flavour",
        "test accuracy",
        "non-zero PW1, DW, PW2",
        "fused",
        "kept by ReLU 1, 2",
        "digest",
    ]
    return _table(head, rows)


def _kept(relus: Sequence[ReluContent]) -> float:
    """Share of activations that predictors keep, over all blocks and images."""
    return sum(one.hits + one.false_alarms for one in relus) / sum(one.activations for one in relus)


def _density(layers: Sequence[LayerContent], role: str) -> float:
    """Share of weights that are not zero, over all layers of a role."""
    some = [layer for layer in layers if layer.role == role]
    return sum(layer.nonzero or 0 for layer in some) / sum(layer.weights for layer in some)


def filled(page: str, make: Callable[[], str]) -> str:
    """Return a page with its generated table made anew."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{make()}\n{END}{rest.split(END, 1)[1]}"


#: Pages, and what makes the table in each.
PAGES = {HERE.parent / "docs" / "training.md": results_table, HERE / "README.md": files_table}


def main() -> None:
    """Write all tables."""
    for path, make in PAGES.items():
        path.write_text(filled(path.read_text("utf-8"), make), "utf-8")


if __name__ == "__main__":
    typer.run(main)
