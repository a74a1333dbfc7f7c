"""Grids of sweeps: values as written, their order, and everything that is refused."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archonsim.errors import MaskError, SpecError, UserError
from archonsim.sweeps.question import Question, ask, read_question
from archonsim.sweeps.values import parse_values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("4,8,16", (4, 8, 16)),
        ("2..5", (2, 3, 4, 5)),
        ("8..33..8", (8, 16, 24, 32)),
        ("5..2..-1", (5, 4, 3, 2)),
        ("1..3,8", (1, 2, 3, 8)),
        ("0.1..0.3..0.1", (0.1, 0.2, 0.3)),
        ("12.8,25.6", (12.8, 25.6)),
        ("layer, channel", ("layer", "channel")),
        ("true,false", (True, False)),
        ('[],["weight"],["weight","mask"]', ([], ["weight"], ["weight", "mask"])),
        ("1e3", (1000.0,)),
    ],
)
def test_values_as_they_are_written(text: str, values: tuple[object, ...]) -> None:
    assert parse_values("key", text) == values


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 9))
def test_a_range_is_what_range_says(first: int, last: int, step: int) -> None:
    expected = tuple(range(first, last + 1, step))
    if expected:
        assert parse_values("key", f"{first}..{last}..{step}") == expected
    else:
        with pytest.raises(SpecError, match="range is empty"):
            parse_values("key", f"{first}..{last}..{step}")


def question(**changes: object) -> Question:
    plain: dict[str, object] = {
        "arch": "archon",
        "workload": "fusionet_digits",
        "params": {"pe.rows": [4, 8]},
    }
    return ask(**{**plain, **changes})  # type: ignore[arg-type]


@given(st.data())
def test_the_grid_is_the_product_in_order(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    keys = ["pe.rows", "pe.cols", "glb.words", "dram.latency_cycles"][: len(sizes)]
    values = {key: list(range(8, 8 + size)) for key, size in zip(keys, sizes, strict=True)}
    masks = data.draw(
        st.lists(st.sampled_from(["trace", "all", "random:0.5"]), min_size=1, unique=True)
    )
    both = data.draw(st.booleans())
    grid = question(
        arch=["archon", "dense"] if both else "archon",
        params=values,
        masks=masks,
        workload=["a", "b"],
    ).grid
    points = [grid[index] for index in range(len(grid))]
    expected = itertools.product(
        ["a", "b"], ["archon", "dense"][: 1 + both], masks, *values.values()
    )
    assert [(one.workload, one.arch, one.masks, *one.varied.values()) for one in points] == list(
        expected
    )
    assert [one.index for one in points] == list(range(len(points)))


def test_a_parameter_of_one_architecture_multiplies_that_one_alone() -> None:
    grid = question(
        arch=["archon", "dense"],
        params={"archon.pe.adders": "2..6", "pe.rows": [4, 8]},
        set={"dense.pe.cols": 4},
    ).grid
    points = [grid[index] for index in range(len(grid))]
    assert [one.arch for one in points] == ["archon"] * 10 + ["dense"] * 2
    assert points[0].varied == {"archon.pe.adders": 2, "pe.rows": 4}
    assert points[0].overrides == {"pe.adders": 2, "pe.rows": 4}
    assert points[-1].varied == {"pe.rows": 8}
    assert points[-1].overrides == {"pe.cols": 4, "pe.rows": 8}


BAD: dict[str, tuple[dict[str, object], str]] = {
    "unknown key": (
        {"params": ["pe.row=4"]},
        "archon has no key 'pe.row'; did you mean 'pe.rows'?",
    ),
    "another's key": (
        {"arch": "archon,dense", "params": ["pe.adders=4"]},
        "write archon.pe.adders for archon alone",
    ),
    "arch that is not swept": (
        {"params": ["dense.pe.rows=4"]},
        "dense is not among the architectures archon",
    ),
    "empty range": ({"params": ["pe.rows=8..4"]}, "the range is empty"),
    "step 0": ({"params": ["pe.rows=4..8..0"]}, "the range is empty"),
    "endless range": ({"params": ["pe.rows=1..9999999"]}, "9999999 values; at most 100000"),
    "no value": ({"params": ["pe.rows="]}, "a value is missing"),
    "no values": ({"params": {"pe.rows": []}}, "no value"),
    "no key": ({"params": ["4,8"]}, "write KEY=VALUES"),
    "a value twice": ({"params": ["pe.rows=4,8,4"]}, "4 is there twice"),
    "a parameter twice": ({"params": ["pe.rows=4", "pe.rows=8"]}, "--param pe.rows is there twice"),
    "overlap": (
        {"params": ["pe.rows=4,8", "archon.pe.rows=16"]},
        "--param pe.rows and --param archon.pe.rows overlap",
    ),
    "overlap with --set": (
        {"params": ["pe.rows=16"], "set": ["pe.rows=16"]},
        "--param pe.rows and --set pe.rows overlap",
    ),
    "wrong type": (
        {"params": ["pe.rows=4,many"]},
        "--param pe.rows is 'many'; it must be a valid integer",
    ),
    "no number": (
        {"params": ["clock_mhz=100,nan"]},
        "--param clock_mhz is nan; it must be a finite number",
    ),
    "bad seed": ({"seed": "x"}, "--seed is 'x'; it must be a whole number"),
    "negative seed": ({"seed": -2}, "--seed is -2"),
    "wrong choice": (
        {"params": ["lane_order=left"]},
        "--param lane_order is 'left'; it must be 'rotate' or 'fixed'",
    ),
    "unknown arch": ({"arch": "archn"}, "unknown architecture 'archn'"),
    "no arch": ({"arch": []}, "--arch: none is given"),
    "a workload twice": ({"workload": ["x", "x"]}, "--workload x is there twice"),
    "masks in ideal": ({"fidelity": "ideal", "masks": "all"}, "ideal fidelity uses no masks"),
    "unknown masks": ({"masks": "x"}, "--masks is 'x'"),
    "unknown fidelity": ({"fidelity": "x"}, "fidelity is 'x'; it must be ideal or cycle"),
    "bad images": ({"images": "x"}, "--images is 'x'"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused(case: str) -> None:
    changes, needed = BAD[case]
    with pytest.raises(UserError) as caught:
        question(**changes)
    assert needed in str(caught.value)
    assert "\n" not in str(caught.value)


FILE = """
arch = ["archon", "dense"]
workload = "fusionet_digits"
fidelity = "ideal"
[param]
pe.rows = "2..4"
archon.pe.adders = [2, 6]
[set]
"dram.model" = "unlimited"
"""


def test_a_file_asks_what_options_ask(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(FILE)
    by_options = ask(
        "archon,dense",
        "fusionet_digits",
        ["pe.rows=2..4", "archon.pe.adders=2,6"],
        set=["dram.model=unlimited"],
        fidelity="ideal",
    )
    assert read_question(path) == by_options
    assert json.loads(json.dumps(by_options.to_dict()))["parameters"]["pe.rows"] == [2, 3, 4]


@pytest.mark.parametrize(
    ("edit", "needed"),
    [
        (
            lambda text: text.replace("arch =", "archs ="),
            "unknown key 'archs'; did you mean 'arch'?",
        ),
        (lambda text: text.replace("workload", "# workload"), "workload is missing"),
        (lambda text: text.replace("[param]", "[par"), "not a TOML file"),
        (lambda text: text.replace("pe.rows", "pe.row"), "no key 'pe.row'"),
        (
            lambda text: text.replace('"fusionet_digits"', "7"),
            "workload is 7; it must be a text, or a list of texts",
        ),
        (lambda text: "masks = [1]\n" + text, "masks is [1]; it must be a text"),
        (lambda text: text.replace("arch =", 'seed = "x"\narch ='), "--seed is 'x'"),
        (lambda text: "param = 3\n" + text.partition("[param]")[0], "it must be a table"),
        (lambda text: 'masks = "x"\n' + text, "--masks is 'x'"),
    ],
)
def test_a_file_that_is_refused(edit: Callable[[str], str], needed: str, tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(edit(FILE))
    with pytest.raises((SpecError, MaskError)) as caught:
        read_question(path)
    assert str(path) in str(caught.value)
    assert needed in str(caught.value)
    assert "\n" not in str(caught.value)


def test_architectures_are_named_as_in_a_comparison() -> None:
    assert (
        ask(["archon,dense"], "x").archs == ask("archon, dense", "x").archs == ("archon", "dense")
    )
    assert set(ask("all", "x").archs) >= {"archon", "dense", "sparse", "systolic", "fuse"}
