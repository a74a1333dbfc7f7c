"""Mappings as data: what a file may say, and one clear line for what it may not."""

from __future__ import annotations

import json
from itertools import product
from math import prod
from pathlib import Path

import pytest

from archonsim.dataflow.book import open_book
from archonsim.dataflow.mapper import (
    LEVELS,
    _spatial_choices,
    constraint_broken,
    splits,
)
from archonsim.dataflow.mapping import Mapping
from archonsim.dataflow.problem import Problem
from archonsim.errors import SpecError
from archonsim.machines.row_stationary.layers import map_layers
from archonsim.network.layer import Layer
from archonsim.network.networks import network
from archonsim.network.workload import Provenance, Workload
from tests.row_stationary import dense

#: PW1 of MobileNetV2's second block (ICS'21's b1), as the authors mapped it.
LAYER = Layer(
    name="b1.pw1", kind="conv", role="pw1", in_channels=16, out_channels=96, in_h=32, in_w=32
)
TABLE = {
    "dram": ["Q8"],
    "glb": ["P32", "M2x", "Q4x"],
    "array": ["M2y", "C4y"],
    "weight_spad": ["C4"],
    "psum_spad": ["M24"],
}


def workload(layer: Layer = LAYER) -> Workload:
    return Workload(name="one", items=(layer,), provenance=Provenance(network="one"))


def write(folder: Path, levels: dict[str, object], **entry: object) -> str:
    path = folder / "mapping.json"
    path.write_text(json.dumps({"mapping": [{"layer": "b1.pw1", **entry, "levels": levels}]}))
    return str(path)


def test_tables_come_back_whatever_the_order() -> None:
    mapping = Mapping.parse(dict(reversed(TABLE.items())), LEVELS, "here")
    assert mapping.to_table() == TABLE
    assert (mapping.cycles, mapping.pes_used, mapping.bound("M"), mapping.bound("M", "x")) == (
        24_576,
        64,
        96,
        2,
    )


@pytest.mark.parametrize("suffix", ["toml", "json"])
def test_one_loader_reads_both_forms(tmp_path: Path, suffix: str) -> None:
    path = Path(write(tmp_path, {**TABLE}))
    if suffix == "toml":
        path = tmp_path / "mapping.toml"
        levels = ", ".join(f"{level} = {json.dumps(loops)}" for level, loops in TABLE.items())
        path.write_text(
            f"[[mapping]]\nshape = [1, 16, 96, 32, 32, 1, 1, 1, 1]\nlevels = {{ {levels} }}\n"
        )
    (mapped,) = map_layers(workload(), dense(f"mapping={path}"))
    assert mapped.mapping.to_table() == TABLE
    assert mapped.cycles == 24_576


def but(**levels: object) -> dict[str, object]:
    return {**TABLE, **levels}


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        (but(glbb=["P2"]), "unknown level 'glbb'; did you mean 'glb'?"),
        (but(dram="Q8"), "level dram is 'Q8'; it must be a list of loops"),
        (but(dram=["Z8"]), "level dram: loop 'Z8' is not DIMENSION BOUND"),
        (but(dram=["Q0"]), "level dram: loop 'Q0' is not"),
        (but(dram=[8]), "level dram: loop 8 is not"),
        (but(dram=["Q4"]), r"Q is 32, but its loops \(Q4 at dram, Q4x at glb\) multiply to 16"),
        (but(weight_spad=[]), r"C is 16, but its loops \(C4y at array\) multiply to 4"),
        (
            but(dram=["Q2"], glb=["P32", "M2x", "Q16x"]),
            r"axis x has 8 columns of PEs, and its loops \(.*\) take 32",
        ),
        (
            but(psum_spad=["M48"], glb=["P32", "Q4x"]),
            r"psum_spad holds 24 words, its tiles need 48 \(48 of output\): 24 too many",
        ),
        (
            but(dram=[], psum_spad=["M24", "Q8"]),
            "loop Q8 at psum_spad is not allowed: in time this level takes M",
        ),
        (
            but(array=["C4y"], glb=["P32", "M2x", "Q4x", "M2y"]),
            "loop M2y at glb is not allowed: along y this level takes no loop",
        ),
        (
            but(weight_spad=[], glb=["C4", "P32", "M2x", "Q4x"]),
            "loop C4 at glb is not allowed: input channels may loop there only",
        ),
        (
            but(psum_spad=["M12"], dram=["M2", "Q8"]),
            "loops M2, Q8 at dram are out of order: from the outside in it is N Q P M",
        ),
    ],
)
def test_malformed_mappings_are_named(
    tmp_path: Path, levels: dict[str, object], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        map_layers(workload(), dense(f"mapping={write(tmp_path, levels)}"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a JSON file"),
        ("{}", "a mapping file is a list of entries called mapping"),
        ('{"mapping": [1]}', "mapping 1: an entry has the keys layer or shape, levels"),
        ('{"mapping": [{"layer": "a"}]}', "mapping 1: levels is missing"),
        ('{"mapping": [{"levels": {}}]}', "mapping 1: give either layer or shape"),
        (
            '{"mapping": [{"shape": [1, 2], "levels": {}}]}',
            r"mapping 1: shape is \[1, 2\]; it must be the nine numbers",
        ),
        (
            '{"mapping": [{"layer": "a", "levels": []}]}',
            "mapping 1: a mapping is a table of levels",
        ),
        ('{"mapping": [{"layer": "a", "levels": {}}]}', "no mapping for layer 'b1.pw1' of shape"),
    ],
)
def test_malformed_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mapping.json"
    path.write_text(text)
    with pytest.raises(SpecError, match=message):
        map_layers(workload(), dense(f"mapping={path}"))


def test_missing_files_and_unknown_names_are_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read: No such file"):
        open_book(str(tmp_path / "none.json"))
    with pytest.raises(SpecError, match="mapping is 'ics22'; it must be search, ics21, or a file"):
        open_book("ics22")


def test_a_machine_too_small_for_a_layer_is_named() -> None:
    with pytest.raises(
        SpecError, match=r"no mapping of a layer with N 1, C 16, M 96, P 32, .* fits \(glb 1 words"
    ):
        map_layers(workload(), dense("glb.words=1"))


def test_dram_may_split_rows_where_nothing_else_fits() -> None:
    assert map_layers(workload(), dense("glb.words=8"))[0].mapping.to_table()["dram"][:2] == [
        "Q32",
        "P32",
    ]


def test_layers_become_problems() -> None:
    grouped = Layer(
        name="g", kind="conv", role="g", in_channels=8, out_channels=12, in_h=6, in_w=5, groups=2
    )
    assert Problem.of(grouped) == Problem(c=4, m=6, p=5, q=6, groups=2)
    depthwise = Layer(
        name="d",
        kind="depthwise",
        role="d",
        in_channels=8,
        out_channels=8,
        in_h=6,
        in_w=5,
        kernel_h=3,
        kernel_w=1,
        groups=8,
    )
    assert Problem.of(depthwise) == Problem(m=8, p=5, q=4, s=3, r=1, input_maps=8)


def test_groups_and_depthwise_channels_multiply_traffic() -> None:
    layers = network("shufflenet_c10-ics21")
    mapped = {one.layer.name: one for one in map_layers(layers, dense())}
    grouped = mapped["b2.pw1"]
    assert grouped.cycles == 3 * grouped.cost.cycles
    assert grouped.words("dram", "weight")[0] >= grouped.layer.weights
    depthwise = mapped["b2.dw"]
    touched = depthwise.layer.in_channels * depthwise.layer.in_h * depthwise.layer.in_w
    assert depthwise.words("dram", "input")[0] >= touched
    assert depthwise.cost.counts["dram", "input"].reads < touched, (
        "the published analysis lets all channels share one map"
    )


@pytest.mark.parametrize(
    ("number", "parts", "count"), [(1, 3, 1), (12, 2, 6), (64, 3, 28), (97, 4, 4)]
)
def test_splits(number: int, parts: int, count: int) -> None:
    found = splits(number, parts)
    assert len(found) == len(set(found)) == count
    assert all(len(one) == parts for one in found)


@pytest.mark.parametrize(("p", "q", "fine"), [(1, 1, True), (2, 1, False), (1, 2, False)])
def test_input_channels_loop_at_the_glb_for_one_output_pixel_alone(
    p: int, q: int, fine: bool
) -> None:
    mapping = Mapping.parse({"glb": ["C2"]}, LEVELS, "a test")
    broken = constraint_broken(mapping, Problem(c=2, p=p, q=q))
    assert (broken == "") is fine
    assert fine or "only where there is one output pixel" in broken


def test_spatial_loops_are_all_that_fit_by_the_pes_that_they_use() -> None:
    problem, array = Problem(c=4, m=6, q=2, s=3), dense("pe.rows=8", "pe.cols=4").hierarchy()
    found = _spatial_choices(problem, array)
    assert all(prod(one) == pes for pes, some in found.items() for one in some)
    expected = [
        (mx, qx, my, cy, sy)
        for mx, qx, my, cy, sy in product((1, 2, 3, 6), (1, 2), (1, 2, 3, 6), (1, 2, 4), (1, 3))
        if mx * qx <= 4 and my * cy * sy <= 8 and 6 % (mx * my) == 0
    ]
    assert sorted(one for some in found.values() for one in some) == sorted(expected)
