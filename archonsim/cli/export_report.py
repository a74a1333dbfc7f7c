"""What ``archonsim export`` says of what it did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archonsim.cli.progress import stderr
from archonsim.network.workload import Workload
from archonsim.result.inspect import inspect_workload

if TYPE_CHECKING:
    from archonsim.export.command import Right


def content(work: Workload, *, ours: bool) -> str:
    """Say what a file holds, and why it holds no masks where it does not."""
    if work.images:
        return f"{work.images} image{'s' if work.images > 1 else ''}"
    layers = sum(layer.is_compute for layer in work.layers())
    if not any(work.blocks()):
        why = "no block fuses"
    elif ours:
        why = f"the {work.provenance.flavour} flavour has no predictors"
    else:
        why = "no images were given"
    return f"weights of {layers} layers, no masks ({why})"


def report_hits(work: Workload) -> None:
    """Say how often fitted predictors are right, over all blocks."""
    if work.provenance.flavour != "pred" or not work.images:
        return
    stderr.print(work.provenance.note)
    for place, name in ((1, "relu1"), (2, "relu2")):
        relus = [
            relu
            for block in inspect_workload(work).blocks
            if (relu := getattr(block, name)) is not None
        ]
        whole = sum(relus[1:], relus[0])
        stderr.print(
            f"ReLU {place}: {100 * whole.hit_rate:.1f} % of the positive activations predicted, "
            f"{100 * whole.false_alarm_rate:.1f} % of the others kept"
            " (by block: archonsim inspect --deep)"
        )


def report_right(right: Right, *, pruned: bool) -> None:
    """Say how many labelled images are classified right."""
    shares = (100 * one / right.images for one in (right.after, right.before))
    after, before = (f"{share:.2f} %" for share in shares)
    stderr.print(
        f"{after} of {right.images} labelled images right"
        + (f", {before} before pruning" if pruned else "")
    )


def doing(name: str) -> str:
    """Say what a step of opening a network was."""
    return f"classifying {name}" if name.startswith("image ") else f"pruned {name}"
