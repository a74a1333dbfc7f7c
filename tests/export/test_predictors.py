"""Predictors that ship, and the one in docs/add-a-predictor.md: what they hit, lose and declare."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from archonsim.errors import SpecError, WorkloadError  # noqa: E402
from archonsim.explain.ledger import keep_ledger  # noqa: E402
from archonsim.export import export_module  # noqa: E402
from archonsim.export.predictors.msb import leading_weights  # noqa: E402
from archonsim.export.predictors.registry import predictor, predictor_names  # noqa: E402
from archonsim.machines.protocol import Densities, Fusing  # noqa: E402
from archonsim.machines.registry import machine, machine_spec  # noqa: E402
from archonsim.network.prediction import TERNARY, Prediction, PredictionLoad  # noqa: E402
from archonsim.network.workload import Workload  # noqa: E402
from archonsim.plugins import PREDICTORS  # noqa: E402
from archonsim.result.inspect import ReluContent, inspect_workload  # noqa: E402
from archonsim.runs.simulate import simulate  # noqa: E402
from archonsim.tracefile.check import validate  # noqa: E402
from archonsim.tracefile.reader import open_workload  # noqa: E402
from archonsim.tracefile.writer import write_workload  # noqa: E402
from tests.export.nets import MobileNetV2, ready  # noqa: E402
from tests.export.test_module import pictures  # noqa: E402
from tests.plugin import installed, write_plugin  # noqa: E402

PAGE = Path(__file__).parents[2] / "docs" / "add-a-predictor.md"
SHIPPED = ("msb4", "snapea", "ternary")


def export(name: str) -> Workload:
    return export_module(
        ready(MobileNetV2()), pictures(2), calibration=pictures(6, seed=1), predictors=name
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("predicted")
    for name in SHIPPED:
        made = export(name)
        write_workload(folder / f"{name}.h5", made, made.trace)
    return {name: folder / f"{name}.h5" for name in SHIPPED}


def relus(work: Workload) -> ReluContent:
    found = [one for block in inspect_workload(work).blocks for one in (block.relu1, block.relu2)]
    first, *others = [one for one in found if one is not None]
    for one in others:
        first += one
    return first


def page(language: str) -> str:
    (text,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return str(text)


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[None]:
    ((_, points),) = tomllib.loads(page("toml"))["project"]["entry-points"].items()
    write_plugin(tmp_path, {"largest_weights.py": page("python")}, points, PREDICTORS)
    with installed(tmp_path):
        yield


def test_names() -> None:
    assert tuple(predictor_names()) == SHIPPED
    for name in SHIPPED:
        assert predictor(name).name == name
    with pytest.raises(SpecError) as caught:
        predictor("snapae")
    assert str(caught.value) == (
        "--predictors is 'snapae', which is no predictor; did you mean 'snapea'?"
    )


@pytest.mark.parametrize("name", SHIPPED)
def test_a_file_says_whose_masks_it_holds(name: str, files: dict[str, Path]) -> None:
    work = open_workload(files[name])
    validate(work)
    assert f"masks of {name} predictors, fitted to 6 images; the network was not trained with" in (
        work.provenance.note
    )
    assert re.search(r"largest output stays the same on [012] of 2 images", work.provenance.note)
    assert work.provenance.flavour == "pred"
    for block in work.blocks():
        assert block.prediction.predictor == name
        assert (block.prediction == TERNARY) == (name == "ternary")
    assert {block.predictor for block in inspect_workload(work).blocks} == {name}


def test_more_bits_predict_better_and_early_stops_let_nothing_pass(files: dict[str, Path]) -> None:
    """The order is that of what they cost; SnaPEA's sums are exact where they do not stop."""
    counts = {name: relus(open_workload(path)) for name, path in files.items()}
    wrong = {name: one.misses + one.false_alarms for name, one in counts.items()}
    assert wrong["snapea"] < wrong["msb4"] < wrong["ternary"]
    assert counts["snapea"].false_alarms == 0
    assert 0 < counts["snapea"].misses < 0.04 * counts["snapea"].activations


def test_archon_charges_what_is_declared(files: dict[str, Path]) -> None:
    found = machine("archon")
    sums: dict[str, dict[str, int]] = {}
    for name, path in files.items():
        report = simulate(open_workload(path), found, machine_spec(found))
        parts = [one for one in report.layers if one.phase.startswith("predict")]
        sums[name] = {
            "adds": sum(int(one.adds) for one in parts),
            "macs": sum(int(one.macs) for one in parts),
            "cycles": sum(int(one.cycles) for one in parts),
            "words": sum(int(one.traffic["dram.read.weight"]) for one in parts),
            "multiply": sum(int(one.actions.get("mac.multiply.compute", 0)) for one in parts),
        }
    ternary, msb4, snapea = (sums[name] for name in ("ternary", "msb4", "snapea"))
    assert msb4["adds"] == 3 * ternary["adds"]
    assert snapea["adds"] == ternary["macs"] == msb4["macs"] == 0
    assert snapea["multiply"] == snapea["macs"] > 0
    assert ternary["cycles"] < msb4["cycles"] < snapea["cycles"]
    assert ternary["words"] < msb4["words"] < snapea["words"]
    share = snapea["macs"] / ternary["adds"]
    assert 0.2 < share < 0.8


def test_ideal_fidelity_charges_it_too(files: dict[str, Path]) -> None:
    found = machine("archon")
    cycles = {
        name: [
            one.cycles
            for one in simulate(
                open_workload(path), found, machine_spec(found), fidelity="ideal"
            ).layers
            if one.phase.startswith("predict")
        ]
        for name, path in files.items()
    }
    for one, other in zip(cycles["ternary"], cycles["msb4"], strict=True):
        assert 3 * one <= other <= 3 * one + 3
    assert sum(cycles["snapea"]) > sum(cycles["msb4"])


def test_the_ledger_books_what_a_predictor_gets_wrong(files: dict[str, Path]) -> None:
    found = machine("archon")
    books = {
        name: keep_ledger(open_workload(files[name]), found, machine_spec(found))
        for name in ("msb4", "snapea")
    }
    for book in books.values():
        whole, runs = book.totals[2], book.runs
        assert runs["trace"].adds - whole.wasted.adds + whole.saved.adds == runs["oracle"].adds
        assert whole.saved.adds > 0
    assert books["snapea"].totals[2].wasted.adds == 0 < books["msb4"].totals[2].wasted.adds
    assert books["msb4"].prediction_cycles < books["snapea"].prediction_cycles


def test_advice_knows_what_predictions_take(files: dict[str, Path]) -> None:
    found = machine("archon")
    assert isinstance(found, Fusing)
    densities = Densities(pw1=0.2, dw=0.3, pw2=0.2, survival=0.25)
    cycles = {}
    for name, path in files.items():
        block = next(open_workload(path).blocks())
        cycles[name] = found.estimate_fused(block, machine_spec(found), densities)
    assert cycles["ternary"] < cycles["msb4"] < cycles["snapea"]


def test_zeros_of_other_weights_cannot_be_skipped(files: dict[str, Path]) -> None:
    found = machine("archon")
    spec = machine_spec(found, None, ("skip_zero_ternary=true",))
    with pytest.raises(SpecError, match=r"skip_zero_ternary.*msb4"):
        simulate(open_workload(files["msb4"]), found, spec)


def test_the_page_s_predictor(plugin: None, tmp_path: Path) -> None:
    work = export("largest")
    write_workload(tmp_path / "w.h5", work, work.trace)
    back = open_workload(tmp_path / "w.h5")
    block = next(back.blocks())
    assert block.prediction.predictor == "largest"
    assert block.prediction.loads[0].share == pytest.approx(1 / 8, abs=0.1)
    assert 0 < relus(back).misses < relus(back).activations


def test_a_run_needs_no_plug_in(files: dict[str, Path], tmp_path: Path) -> None:
    with h5py.File(files["msb4"]) as file:
        text = file["blocks/b1"].attrs["prediction"].decode()
    assert Prediction.from_text(text.replace("msb4", "gone")).predictor == "gone"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON of a predictor's name and its two loads"),
        ('{"predictor": "x", "loads": [{}]}', "no JSON of a predictor's name"),
        ('{"predictor": "", "loads": [{}, {}]}', "predictor is ''; it must be a name"),
        ('{"predictor": "x", "loads": [{"steps": 0}, {}]}', "steps is 0; it must be a whole"),
        ('{"predictor": "x", "loads": [{"share": 2}, {}]}', "share is 2; it must be from 0 to 1"),
        ('{"predictor": "x", "loads": [{"share": NaN}, {}]}', "share is nan; it must be from"),
        ('{"predictor": "x", "loads": [{"unit": "gpu"}, {}]}', "unit is 'gpu'; it must be adders"),
        ('{"predictor": "x", "loads": [{"cost": 1}, {}]}', "no JSON of a predictor's name"),
    ],
)
def test_what_is_declared_is_checked(
    text: str, message: str, files: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(WorkloadError, match=re.escape(message)):
        Prediction.from_text(text)
    path = tmp_path / "w.h5"
    path.write_bytes(files["msb4"].read_bytes())
    with h5py.File(path, "r+") as file:
        file["blocks/b1"].attrs["prediction"] = np.bytes_(text)
    with pytest.raises(WorkloadError, match=re.escape(f"{path}")):
        open_workload(path)


def test_leading_bits_are_cut_off() -> None:
    filters = [[0.99, 0.5, 0.26, 0.124, -0.99, -0.1, 0], [0.2, -0.1, 0, 0, 0, 0, 0], [0] * 7]
    weight = np.array(filters, np.float32)[:, :, None, None]
    assert leading_weights(weight)[:, :, 0, 0].tolist() == [
        [7, 4, 2, 0, -7, 0, 0],
        [6, -3, 0, 0, 0, 0, 0],
        [0] * 7,
    ]


def test_operations_are_rounded_up() -> None:
    assert PredictionLoad(steps=3).operations(5) == 15
    assert PredictionLoad(share=0.25).operations(5) == 2
