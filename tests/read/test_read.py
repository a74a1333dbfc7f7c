"""Results read back: the same tree, the earlier form, and one line for every file that is damaged.

Files are real ones, changed by hand: keys dropped, values of other types, texts cut off, numbers
that no run can have.
"""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archonsim.cli.app import run_command
from archonsim.errors import ResultError, UserError
from archonsim.result.advice import Advice
from archonsim.result.compare import Comparison
from archonsim.result.files import to_json
from archonsim.result.frames import compare_frame, run_frame
from archonsim.result.inspect import Inspection
from archonsim.result.ledger import Ledger
from archonsim.result.read import parse_json
from archonsim.result.report import Report
from archonsim.result.stored import read_any, read_result, read_waterfall
from archonsim.result.sweep_table import SweepTable
from archonsim.result.waterfall import Waterfall
from archonsim.show.figures.waterfall import waterfall_frame
from archonsim.show.page.comparison import comparison_page
from archonsim.show.page.run import run_page
from archonsim.show.page.sweep import sweep_page
from tests import results
from tests.examples import examples

Tree = Report | Comparison | Waterfall | Ledger | Advice | Inspection

OUTPUTS = Path(__file__).parents[1] / "golden" / "outputs"
#: Results as version 0.1.0 wrote them.
EARLIER: dict[str, Callable[[dict[str, Any]], Tree]] = {
    "run-archon-digits-json": Report.from_dict,
    "run-systolic-digits-json": Report.from_dict,
    "compare-json": Comparison.from_dict,
    "waterfall-json": Waterfall.from_dict,
    "waterfall-fusionet": Waterfall.from_dict,
    "ledger-json": Ledger.from_dict,
    "advise-json": Advice.from_dict,
    "inspect-json": Inspection.from_dict,
}

#: What stands in the place of a value. Each is wrong in some places, and right in others.
ODD: tuple[object, ...] = (
    None, "", "a text", "[/x]", -1, 0, 2**63, 10**400, 1e300, -1e300, 0.5, True, [], {}, [None],
    {"a": {}}, ["x"] * 3,
)  # fmt: skip


@pytest.mark.parametrize("name", EARLIER)
def test_a_result_reads_back_as_it_was_written(name: str) -> None:
    text = (OUTPUTS / f"{name}.txt").read_text("utf-8")
    assert to_json(EARLIER[name](json.loads(text)).to_dict()) == text


def test_results_with_their_runs_read_back() -> None:
    whole = results.comparison()
    tree = whole.to_dict(runs=True)
    read = Comparison.from_dict(tree)
    assert to_json(read.to_dict(runs=True)) == to_json(tree)
    assert read.rows == whole.rows
    assert Report.from_dict(results.run().to_dict()).layers == results.run().layers


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """All containers of a tree with each of their keys."""
    keys = tree.keys() if isinstance(tree, dict) else range(len(tree))
    for key in keys:
        yield tree, key
        if isinstance(tree[key], dict | list):
            yield from _places(tree[key])


@st.composite
def damaged(draw: st.DrawFn, tree: dict[str, Any]) -> str:
    """The text of a tree that somebody changed by hand."""
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, 2))):
        places = list(_places(tree))
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        if draw(st.booleans()):
            del holder[key]
        else:
            holder[key] = draw(st.sampled_from(ODD))
        if not tree:
            break
    text = json.dumps(tree)
    wrong = draw(st.sampled_from(["", "", "", "cut", "nan", "nested"]))
    if wrong == "cut":
        return text[: draw(st.integers(0, len(text) - 1))]
    if wrong == "nan":
        return text.replace("0", draw(st.sampled_from(["NaN", "Infinity", "1e999", "9" * 5000])), 1)
    return "[" * 100_000 if wrong == "nested" else text


def _short(tree: dict[str, Any]) -> dict[str, Any]:
    """The same with few layers, so that damage hits every kind of key."""
    tree = copy.deepcopy(tree)
    for run in tree.get("runs", [tree]):
        run["layers"] = run["layers"][:3]
        run["per_image"] = [one | {"layers": one["layers"][:3]} for one in run["per_image"][:2]]
    return tree


RUN = _short(results.run().to_dict())
COMPARISON = _short(results.comparison().to_dict(runs=True))
WATERFALL = json.loads((OUTPUTS / "waterfall-json.txt").read_text("utf-8"))
PROPERTY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def refused_in_one_line(error: UserError, path: Path) -> None:
    """A fault names its file in one line that can be printed."""
    said = str(error)
    assert str(path) in said
    assert said.isprintable()
    assert len(said) < 700


@PROPERTY
@given(damaged(RUN))
def test_a_damaged_run_is_refused_or_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(text)
    try:
        found = read_result(path)
    except ResultError as error:
        refused_in_one_line(error, path)
        return
    assert isinstance(found, Report)
    run_frame([found])
    found.to_csv()


@PROPERTY
@given(damaged(COMPARISON))
def test_a_damaged_comparison_is_refused_or_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "compare.json"
    path.write_text(text)
    try:
        found = read_result(path)
    except ResultError as error:
        refused_in_one_line(error, path)
        return
    if isinstance(found, Comparison) and found.rows:
        compare_frame(found)


@PROPERTY
@given(damaged(WATERFALL))
def test_a_damaged_waterfall_is_refused_or_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "waterfall.json"
    path.write_text(text)
    try:
        found = read_waterfall(path)
    except ResultError as error:
        refused_in_one_line(error, path)
        return
    waterfall_frame(found)


OTHERS = [
    json.loads((OUTPUTS / f"{name}.txt").read_text("utf-8"))
    for name in ("ledger-json", "advise-json", "inspect-json")
]


@pytest.mark.parametrize("at", range(3))
@examples(60)
@given(st.data())
def test_other_damaged_trees_are_refused_or_written_again(at: int, data: st.DataObject) -> None:
    read: Callable[..., Tree] = (Ledger.from_dict, Advice.from_dict, Inspection.from_dict)[at]
    with contextlib.suppress(ResultError):
        read(parse_json(data.draw(damaged(OTHERS[at])).encode(), "it", "a result")).to_dict()


SWEEP = results.fifo_sweep().to_csv(index=False)


@st.composite
def damaged_table(draw: st.DrawFn) -> str:
    """A sweep's table that somebody changed by hand."""
    lines = [line.split(",") for line in SWEEP.splitlines()[:5]]
    for _ in range(draw(st.integers(1, 2))):
        row = lines[draw(st.integers(0, len(lines) - 1))]
        at = draw(st.integers(0, len(row) - 1))
        odd = ["", "x", "-1", "nan", "inf", "1e300", "9" * 400, '"', "a,b", "\0", "True", "0"]
        row[at] = draw(st.sampled_from(odd))
    text = "\n".join(",".join(row) for row in lines)
    return text[: draw(st.integers(0, len(text)))] if draw(st.integers(0, 4)) == 0 else text


@PROPERTY
@given(damaged_table())
def test_a_damaged_table_is_refused_or_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.csv"
    path.write_text(text)
    try:
        SweepTable.read(path)
    except ResultError as error:
        refused_in_one_line(error, path)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_what_is_read_can_be_shown(tmp_path: Path, data: st.DataObject) -> None:
    """A damaged file that is not refused makes a page, or is refused by it."""
    kind = data.draw(st.sampled_from(["run", "comparison", "sweep"]))
    path = tmp_path / ("results.csv" if kind == "sweep" else f"{kind}.json")
    trees = {"run": RUN, "comparison": COMPARISON}
    path.write_text(
        data.draw(damaged_table() if kind == "sweep" else damaged(trees[kind])), "utf-8"
    )
    with contextlib.suppress(UserError):  # any other fault fails this test
        found = read_any(path)
        if isinstance(found, Report):
            run_page(found)
        elif isinstance(found, Comparison):
            comparison_page(found)
        else:
            sweep_page(found.frame)


def test_a_fault_names_field_value_and_rule(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    faults: tuple[tuple[Callable[[dict[str, Any]], Any], str], ...] = (
        (lambda tree: tree["layers"][1].pop("phase"), "layers[1].phase is missing"),
        (
            lambda tree: tree["layers"][0].update(cycles="12"),
            "layers[0].cycles is '12'; it must be",
        ),
        (lambda tree: tree.update(clock_mhz=0), "clock_mhz is 0; it must be greater than 0"),
        (lambda tree: tree["machine"].update(pe=[{"x": 1e301}]), "machine.pe[0].x is 1e+301"),
        (lambda tree: tree.update(schema=2), "schema is 2, and this version reads 1"),
        (lambda tree: tree.update(total_cycles=2**60), f"it must be less than or equal to {2**53}"),
    )
    for change, needed in faults:
        tree = copy.deepcopy(RUN)
        change(tree)
        path.write_text(json.dumps(tree))
        with pytest.raises(ResultError) as caught:
            read_result(path)
        assert needed in str(caught.value)
        refused_in_one_line(caught.value, path)


@pytest.mark.full
def test_a_folder_stands_for_its_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, both, page = tmp_path / "run", tmp_path / "both", tmp_path / "page.html"
    asked = ["-a", "archon", "-w", "fusionet_digits", "--fidelity", "ideal", "-o"]
    assert run_command(["run", *asked, str(run)]) == 0
    for name in ("run", "compare"):
        assert run_command([name, *asked, str(both)]) == 0
    assert run_command(["report", str(run), "-o", str(page)]) == 0
    assert run_command(["plot", "cycles", str(run), "-o", str(tmp_path / "figures")]) == 0
    swept = tmp_path / "sweep"
    assert run_command(["sweep", "--param", "pe.adders=2,4", *asked, str(swept)]) == 0
    for path in (swept, swept / "sweep.json", swept / "results.csv", swept / "results.parquet"):
        assert run_command(["report", str(path), "-o", str(page)]) == 0
        assert "Sweep of pe.adders on archon" in page.read_text("utf-8")
    figure = ["plot", "curve", str(swept), "--x", "pe.adders", "-o", str(tmp_path / "figures")]
    assert run_command(figure) == 0
    capsys.readouterr()
    (swept / "results.csv").unlink()
    for path, needed in (
        (both, "a folder with result.json and compare.json; name the file that is meant"),
        (tmp_path, "a folder without result.json or compare.json or sweep.json"),
        (swept, "this sweep is not finished"),
        (Path("/dev/zero"), "is a device"),
    ):
        assert run_command(["report", str(path), "-o", str(page)]) == 2
        said = capsys.readouterr().err
        assert needed in said
        assert said.count("\n") == 1
