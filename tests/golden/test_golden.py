"""What commands print and write, byte for byte: changed on purpose only, by one explicit command.

``UPDATE_GOLDEN=1 python -m pytest tests/golden`` records the outputs anew; the change is then
reviewed as a difference. Texts up to 64 KiB are kept as they are, larger ones (results and
timelines of FusioNet) as their SHA-256 in ``digests.json``.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from archonsim.cli.app import run_command

HERE = Path(__file__).parent
TEXTS = HERE / "outputs"
DIGESTS = HERE / "digests.json"
UPDATE = bool(os.environ.get("UPDATE_GOLDEN"))
LARGEST_TEXT = 1 << 16

DIGITS, FUSIONET = "workloads/fusionet_digits.h5", "workloads/fusionet_c10.h5"
MACHINES = (
    *("archon", "dense", "eyerissv2", "fuse", "scnn", "snapea", "sparse", "sparten", "systolic"),
)
COMMANDS = {
    f"run-{arch}-{name}-{form}": f"run -a {arch} -w {file} -f {form}"
    for arch in MACHINES
    for name, file in (("digits", DIGITS), ("fusionet", FUSIONET))
    for form in ("json", "csv", "table")
} | {
    "run-images": f"run -a archon -w {DIGITS} --images all -f json",
    "run-ideal": "run -a archon -w fusionet_c10 --fidelity ideal --energy ics21 -f table",
    "run-ideal-shapes": "run -a sparse -w mobilenetv2_c10-ics21 --fidelity ideal"
    " --nnz ics21 -f csv",
    "run-what-if": f"run -a archon -w {DIGITS} --masks random:0.5/oracle --seed 3 --stats",
    "run-energy": f"run -a archon -w {DIGITS} --breakdown energy",
    "run-energy-dense": f"run -a dense -w {DIGITS} --breakdown energy --stats",
    "run-banks": f"run -a archon -w {DIGITS} --set dram.model=banks --stats",
    "compare-table": f"compare -w {DIGITS} -a all",
    "compare-json": f"compare -w {DIGITS} -a dense,sparse,archon -f json --budget pes",
    "compare-csv": f"compare -w {DIGITS} -w mobilenet_v2 -a all --fidelity ideal -f csv",
    "waterfall": f"waterfall -w {DIGITS} -a archon",
    "waterfall-layer": f"waterfall -w {DIGITS} -a sparse --by layer",
    "waterfall-phase": f"waterfall -w {DIGITS} -a archon --by phase -f csv",
    "waterfall-json": f"waterfall -w {DIGITS} -a dense -f json",
    "waterfall-fusionet": f"waterfall -w {FUSIONET} -a archon -f json",
    "ledger": f"ledger -w {DIGITS}",
    "ledger-json": f"ledger -w {DIGITS} -f json",
    "advise": f"advise -w {DIGITS} -a archon",
    "advise-json": f"advise -w {DIGITS} -a archon -f json",
    "inspect": f"inspect {DIGITS} --deep",
    "inspect-json": f"inspect {DIGITS} --deep --format json",
    "inspect-quick": f"inspect {DIGITS}",
    "inspect-quick-json": f"inspect {DIGITS} --format json",
    "archs": "archs",
    "archs-area": "archs archon --area",
    "networks-one": "networks mobilenet_v2",
    "reproduce-date21": "reproduce date21 -f csv",
    "reproduce-eyerissv2": "reproduce eyerissv2",
    "verify": f"verify --workload {DIGITS}",
} | {f"archs-{arch}": f"archs {arch}" for arch in MACHINES}  # fmt: skip
TRACED = {
    f"timeline-{arch}-{name}": (arch, file)
    for arch in MACHINES
    for name, file in (("digits", DIGITS), ("fusionet", FUSIONET))
}  # fmt: skip


def check(name: str, content: bytes) -> None:
    """Compare with what was recorded, or record it."""
    digest = hashlib.sha256(content).hexdigest()
    recorded: dict[str, str] = json.loads(DIGESTS.read_text("utf-8")) if DIGESTS.exists() else {}
    text = TEXTS / f"{name}.txt"
    if UPDATE:
        recorded[name] = digest
        DIGESTS.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n", "utf-8")
        if len(content) <= LARGEST_TEXT:
            TEXTS.mkdir(exist_ok=True)
            text.write_bytes(content)
        return
    if text.exists():
        assert content.decode("utf-8") == text.read_bytes().decode("utf-8")
    assert recorded.get(name) == digest, f"{name} has changed; see this file's docstring"


@pytest.fixture(autouse=True)
def top(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE.parents[1])
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", COMMANDS)
def test_output(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command(COMMANDS[name].split()) == 0
    check(name, capfd.readouterr().out.encode())


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", TRACED)
def test_timeline(name: str, tmp_path: Path) -> None:
    arch, file = TRACED[name]
    path = tmp_path / "timeline.json"
    assert run_command(["run", "-a", arch, "-w", file, "--trace", str(path)]) == 0
    check(name, path.read_bytes())
