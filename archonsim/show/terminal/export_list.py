"""What ``archonsim export --list`` prints."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from archonsim.result.files import rows_to_csv
from archonsim.show.terminal.style import new_table

COLUMNS = (
    "block", "window", "fusable", "reason", "order", "layers", "channels", "kernel", "stride",
    "groups", "shuffle", "residual", "relu6",
)  # fmt: skip


def render_listing(tree: dict[str, Any]) -> RenderableType:
    """One row for each candidate: what it is, or why it is none."""
    table = new_table(ruled=False)
    for name in (
        "block",
        "layer with the window",
        "kernel",
        "stride",
        "channels",
        "order",
        "residual",
        "shuffle",
        "fusable",
    ):
        table.add_column(name, no_wrap=True)
    table.add_column("why not, or on what condition")
    for row in tree["candidates"]:
        fuses = row["fusable"]
        verdict = Text("yes", style="green") if fuses else Text("no", style="bold red")
        table.add_row(
            row["block"],
            row["window"],
            row["kernel"],
            str(row["stride"]),
            row["channels"],
            row["order"],
            row["residual"] if fuses else "",
            str(row["shuffle"] or ""),
            verdict,
            row["reason"] or _condition(row),
        )
    head = Text(tree["model"], style="bold")
    head.append(f"\n{tree['framework']}; {tree['layers']} layers with weights; ", style="not bold")
    head.append(
        f"{tree['blocks']} of {len(tree['candidates'])} candidate blocks fuse", style="not bold"
    )
    return Group(head, Text(), table)


def _condition(row: dict[str, Any]) -> str:
    if not row["relu6"]:
        return ""
    if row["clipped"] is None:
        return "what its ReLU6 clips, if anything, --images tells"
    if not any(row["clipped"]):
        return "ReLU6, and no activation reaches 6 on these images"
    shares = " and ".join(f"{100 * share:.2g} %" for share in row["clipped"])
    return f"ReLU6 clips {shares} of the activations, with masks of three values"


def listing_csv(tree: dict[str, Any]) -> str:
    """One row for each candidate."""
    return rows_to_csv(
        [{**row, "layers": " ".join(row["layers"])} for row in tree["candidates"]], COLUMNS
    )
