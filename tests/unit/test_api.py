"""The Python interface.

Its names, that it is light to import, and that it says what the command line says.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import archonsim
from archonsim.cli.app import run_command
from archonsim.network.networks import network
from archonsim.trace.synthetic import synthesize
from archonsim.tracefile.writer import write_workload

DIGITS = Path(__file__).parents[2] / "workloads" / "fusionet_digits.h5"


def test_public_names_are_there_sorted_and_all_of_them() -> None:
    assert archonsim.__all__ == sorted(archonsim.__all__)
    for name in archonsim.__all__:
        assert getattr(archonsim, name) is not None
    offered = {name for names in archonsim._HOMES.values() for name in names}
    assert offered == set(archonsim.__all__) - {"__version__"}
    assert set(archonsim.__all__) <= set(dir(archonsim))
    with pytest.raises(AttributeError, match="no attribute 'swep'"):
        archonsim.swep  # type: ignore[attr-defined]  # noqa: B018


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    """Neither by the package nor by the help of the command.

    Pandas, pyarrow, Dask and matplotlib by no run.
    """
    light = "import archonsim, sys; assert not {'numpy', 'pydantic'} & set(sys.modules)"
    script = (
        "import sys; from archonsim.cli.app import run_command; run_command(['sweep', '--help']);"
        " run_command(['run', '-a', 'archon', '-w', 'fusionet_digits', '--fidelity', 'ideal', '-f',"
        " 'json']); heavy = {'pandas', 'pyarrow', 'dask', 'distributed', 'matplotlib'} &"
        " set(sys.modules); assert not heavy, heavy"
    )
    for code in (light, script):
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_run_says_what_the_command_says(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "run",
        "-a",
        "archon",
        "-w",
        str(DIGITS),
        "--set",
        "pe.adders=4",
        "--images",
        "0,2",
        "-f",
        "json",
    ]
    assert run_command(arguments) == 0
    tree = json.loads(capsys.readouterr().out)
    for images in ("0,2", [0, 2]):
        result = archonsim.run("archon", DIGITS, set={"pe.adders": 4}, images=images)
        assert json.loads(json.dumps(result.report.to_dict())) == tree
    frame = result.to_dataframe()
    assert list(frame["image"].unique()) == [0, 2]
    assert frame["cycles"].sum() / 2 == result.cycles == tree["total_cycles"]
    words = frame.filter(like="words.").sum().to_dict()
    assert words["words.dram.read.input"] == sum(
        layer["traffic"].get("dram.read.input", 0)
        for image in tree["per_image"]
        for layer in image["layers"]
    )


def test_compare_says_what_the_command_says(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "compare",
        "-a",
        "dense,archon",
        "-w",
        str(DIGITS),
        "--set",
        "dense.pe.rows=8",
        "--masks",
        "all",
        "-f",
        "json",
    ]
    assert run_command(arguments) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    result = archonsim.compare(["dense", "archon"], DIGITS, set={"dense.pe.rows": 8}, masks="all")
    assert result.to_dataframe()["cycles"].to_list() == [row["cycles"] for row in rows]
    assert f"{rows[1]['speedup']:.2f}x" in result.summary()


def test_two_traces_of_one_network_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (1, 2):
        write_workload(tmp_path / f"{seed}.h5", *synthesize(network("fusionet_digits"), seed=seed))
    one, two = str(tmp_path / "1.h5"), str(tmp_path / "2.h5")
    assert run_command(["compare", "-a", "archon", "-w", one, "-w", two]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    digests = [archonsim.run("archon", path).report.digest[:16] for path in (one, two)]
    assert all(digest in err for digest in digests)
    assert (
        run_command(
            ["compare", "-a", "archon", "-w", one, "-w", "fusionet_c10", "--fidelity", "ideal"]
        )
        == 0
    )


def test_a_workload_can_be_handed_over() -> None:
    by_name = archonsim.run("archon", "fusionet_digits", fidelity="ideal")
    assert archonsim.run("archon", network("fusionet_digits"), fidelity="ideal") == by_name


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        ({"fidelity": "exact"}, "fidelity is 'exact'; it must be ideal or cycle"),
        ({"images": 99}, "holds images 0 to 7"),
        ({"masks": "x"}, "--masks is 'x'"),
        ({"set": {"pe.adders": "4"}}, "pe.adders is '4'"),
        ({"set": ["pe.adders"]}, "write KEY=VALUE"),
    ],
)
def test_bad_arguments_are_one_line(arguments: dict[str, object], needed: str) -> None:
    with pytest.raises(archonsim.UserError) as caught:
        archonsim.run("archon", DIGITS, **arguments)  # type: ignore[arg-type]
    assert needed in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_plot_is_a_figure(tmp_path: Path) -> None:
    pytest.importorskip("archonsim.show.figures", reason="this tree has no figures yet")
    figures = {
        "run": archonsim.run("archon", DIGITS).plot(),
        "compare": archonsim.compare(["dense", "archon"], DIGITS).plot(),
        "sweep": (
            archonsim.sweep("archon", DIGITS, {"pe.rows": [4, 8], "pe.adders": [4, 6]}).plot(
                series="pe.adders"
            )
        ),
    }
    for name, figure in figures.items():
        figure.savefig(tmp_path / f"{name}.png")
        assert figure.axes[0].has_data()
