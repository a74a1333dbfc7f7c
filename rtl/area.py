"""Count the cells of one PE's parts with Yosys: ``python -m rtl.area`` (``make rtl-area``).

Writes ``rtl/area.csv``: each part of a published PE beside the authors' estimate, both relative to
the multiplier. Cells are mapped to simple gates by Yosys's own `abc`; their areas are those of a
two-input NAND and its like (`GATES`), not of a library.
"""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "rtl" / "area.csv"
#: Gate equivalents (two-input NANDs): transistors of a static CMOS cell, by four; a flip-flop as 6
#: (own decision).
GATES = {"NOT": 0.5, "NAND": 1.0, "NOR": 1.0, "AND": 1.5, "OR": 1.5, "XOR": 2.5, "XNOR": 2.5}
GATES |= {"ANDNOT": 1.5, "ORNOT": 1.5, "MUX": 2.5, "NMUX": 2.0, "AOI3": 1.5, "OAI3": 1.5}
GATES |= {"AOI4": 2.0, "OAI4": 2.0}
FLIP_FLOP = 6.0
#: Files that Yosys need not read.
LEFT_OUT = ("archon_array.sv", "archon_broadcaster.sv", "archon_lookup.sv", "archon_pe.sv")

#: Part, module, parameters, how many a PE has, keys of the authors' areas (um2) in areas.toml.
Part = tuple[str, str, dict[str, int], int, tuple[str, ...]]
PARTS: tuple[Part, ...] = (
    ("multiplier and accumulation", "area_mac", {}, 1, ("mac",)),
    ("multiplier of 20-bit sums", "area_mac", {"ADDER_BITS": 20}, 1, ()),
    ("FIFO", "archon_fifo", {"DEPTH": 5, "PUSHES": 4, "WIDTH": 19}, 6, ("adder_fifo",)),
    ("lane: FIFO, adder, open sums", "archon_lane", {}, 6, ("adders", "adder_fifo")),
    ("merge tree", "archon_merge", {}, 1, ()),
    ("retirement", "archon_retire", {}, 1, ()),
    ("look-up: AND of ready bits", "area_and", {}, 1, ("bit_masks_and",)),
    ("look-up: one tap, bits ANDed before", "area_select", {"BITS": 592, "MASKS": 1}, 24, ()),
    (
        "look-up: one tap, two bits",
        "area_select",
        {"BITS": 592, "MASKS": 2},
        24,
        ("bit_masks_and", "mux", "mux_"),
    ),
)


def cells(module: str, parameters: dict[str, int]) -> dict[str, int]:
    """Return the gates and flip-flops of a module, by type."""
    sources = " ".join(
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "rtl").glob("*.sv"))
        if path.name not in LEFT_OUT
    )
    sets = "".join(f"chparam -set {name} {value} {module}; " for name, value in parameters.items())
    script = (
        f"read_verilog -sv {sources}; {sets}hierarchy -top {module}; proc; flatten; opt; memory;"
        " opt; techmap; opt; dfflegalize -cell $_DFF_P_ 01; abc -g cmos4; opt_clean; stat"
    )
    done = subprocess.run(
        ["yosys", "-p", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"yosys failed on {module}:\n{done.stdout[-2000:]}{done.stderr}")
    found = re.findall(r"^ +\$_(\w+)_ +(\d+)$", done.stdout[done.stdout.rindex("=== ") :], re.M)
    return {name: int(count) for name, count in found}


def gate_equivalents(counts: dict[str, int]) -> tuple[float, int]:
    """Return gate equivalents, and how many flip-flops are among the cells."""
    flip_flops = sum(count for name, count in counts.items() if "DFF" in name)
    gates = sum(GATES[name] * count for name, count in counts.items() if "DFF" not in name)
    return gates + FLIP_FLOP * flip_flops, flip_flops


def published(keys: tuple[str, ...]) -> float | None:
    """Return the authors' area of parts in one PE, um2."""
    text = (resources.files("archonsim") / "data" / "areas.toml").read_text("utf-8")
    archon = tomllib.loads(text)["archon"]
    areas = archon["pe"] | {key: 6 * area for key, area in archon["pe_adder"].items()}
    return sum(areas[key] for key in keys) if keys else None


def main() -> int:
    """Write the table."""
    rows: list[list[object]] = []
    mac = 0.0
    for part, module, parameters, count, keys in PARTS:
        each, flip_flops = gate_equivalents(cells(module, parameters))
        mac = mac or each
        area, theirs = published(keys), published(("mac",))
        assert theirs is not None
        rows.append(
            [
                part,
                count,
                flip_flops,
                round(each),
                f"{count * each / mac:.2f}",
                "" if area is None else f"{area / theirs:.2f}",
            ]
        )
        sys.stdout.write(f"{part}: {rows[-1][1:]}\n")
    head = ["part", "in_a_pe", "flip_flops_each", "gate_equivalents_each", "all_over_mac"]
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*head, "all_over_mac_ics21"])
        writer.writerows(rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
