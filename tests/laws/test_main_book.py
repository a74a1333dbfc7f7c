"""Mappings of main phases as data: stored, printed, given by hand, and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archonsim.errors import SpecError
from archonsim.machines.archon.main_book import check_fits, open_main_book, parse_mapping
from archonsim.machines.archon.main_cache import choose
from archonsim.machines.archon.main_mapping import Extents
from archonsim.machines.registry import machine
from archonsim.network.block import Block
from archonsim.result.report import Report
from archonsim.runs.simulate import simulate
from archonsim.show.terminal.stats_text import render_stats
from archonsim.trace.fused_weight import fuse
from archonsim.tracefile.find import find_workload
from tests.laws.test_archon import BLOCKS, SETTINGS, workload_of
from tests.present import present
from tests.strategies import archon

DIGITS = Path(__file__).parents[2] / "workloads" / "fusionet_digits.h5"
#: A mapping of the digits' first block: 96 mid channels, 4 input and 4 output channels a group.
ENTRY: dict[str, Any] = {
    "block": "b1",
    "order": "g o k c",
    "out_block": 2,
    "channel_block": 1,
    "levels": {"keep1": 4, "keep2": 4, "input": 4, "psum": 4},
    "ahead": {"keep1": 96, "keep2": 0, "input": 1, "psum": 2},
}


def report(*overrides: str) -> Report:
    return simulate(find_workload(str(DIGITS)), machine("archon"), archon(*overrides))


def toml(entry: dict[str, Any]) -> str:
    lines = []
    for key, value in entry.items():
        text = json.dumps(value)
        if isinstance(value, dict):
            text = "{" + ", ".join(f"{name} = {one}" for name, one in value.items()) + "}"
        lines.append(f"{key} = {text}")
    return "[[mapping]]\n" + "\n".join(lines) + "\n"


def test_a_result_is_a_mapping_file_that_reproduces_its_cycles(tmp_path: Path) -> None:
    searched = report()
    path = tmp_path / "result.json"
    path.write_text(json.dumps(searched.to_dict()))
    given_by_file = report(f"mapping={path}")
    assert [one.cycles for one in given_by_file.layers] == [one.cycles for one in searched.layers]
    assert [one.mapping for one in given_by_file.layers] == [one.mapping for one in searched.layers]
    read = Report.from_dict(json.loads(path.read_text()))
    assert [one.mapping for one in read.layers] == [one.mapping for one in searched.layers]
    blocks = [one.name for one in searched.layers if one.mapping]
    assert blocks == [block.name for block in find_workload(str(DIGITS)).blocks()]


@pytest.mark.parametrize("form", ["toml", "json"])
def test_a_mapping_by_hand_is_run_and_printed(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"mine.{form}"
    entries = [ENTRY | {"block": f"b{number}"} for number in range(1, 5)]
    path.write_text(
        "".join(map(toml, entries)) if form == "toml" else json.dumps({"mapping": entries})
    )
    found = report(f"mapping={path}")
    assert found.total_cycles > report().total_cycles
    mains = [one for one in found.layers if one.phase == "main"]
    assert all(present(one.mapping)["out_block"] == 2 for one in mains)
    assert "g o k c" in str(present_text(found))


def present_text(found: Report) -> str:
    from rich.console import Console

    console = Console(width=200)
    with console.capture() as captured:
        console.print(render_stats(found))
    return captured.get()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": "g o k"}, "order is ['g', 'o', 'k']; it must name g, o, k and c once each"),
        ({"order": 3}, 'order is 3; it must be a text such as "g o k c"'),
        ({"out_block": 0}, "out_block is 0; it must be an integer of at least 1"),
        ({"out_block": True}, "out_block is True; it must be an integer of at least 1"),
        ({"out_block": 5}, "out_block is 5; the block has 4 in a channel group"),
        ({"channel_block": 9}, "channel_block is 9; the block has 4 in a channel group"),
        ({"tap": 3}, "unknown key 'tap'; known: ahead,"),
        ({"streamed": ["psum"]}, "streamed is ['psum']; it must be a list of keep1 and keep2"),
        ({"streamed": ["keep1"]}, "out_block and channel_block must be 1"),
        (
            {"levels": ENTRY["levels"] | {"psum": 5}},
            "levels are [4, 4, 4, 5]; each must be from 0 to 4",
        ),
        ({"levels": {"keep1": 4}}, "levels is {'keep1': 4}; it must be a table of keep1, keep2,"),
        ({"ahead": ENTRY["ahead"] | {"psum": -1}}, "ahead.psum is -1; it must be an integer of"),
        ({"ahead": ENTRY["ahead"] | {"psum": 3}}, "ahead.psum is 3; a tile has 2 words"),
        (
            {"levels": ENTRY["levels"] | {"keep1": 0}, "out_block": 1},
            "keep1: a tile and what is held ahead take 3552 bits, and a PE has 2048"
            " (pe.prediction_buffer_words=128)",
        ),
        (
            {"levels": ENTRY["levels"] | {"input": 2}},
            "input: a tile and what is held ahead take 37 words, and a PE has 12"
            " (pe.main_ifmap_words=12)",
        ),
    ],
)
def test_a_mapping_that_cannot_be_is_refused_in_one_line(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"mapping": [ENTRY | change]}))
    with pytest.raises(SpecError) as caught:
        report(f"mapping={path}")
    assert str(caught.value).startswith(f"{path}: block b1: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "a mapping file is a list of entries called mapping"),
        ('{"mapping": [{"order": "g o k c"}]}', "mapping 1: block is missing"),
        ('{"layers": []}', "a result without mappings; run with main_order=mapped"),
        ('{"layers": [{"name": "b1", "mapping": 3}]}', "block b1: 3 is no table of order,"),
        ('{"mapping": [{"block": "b1"}]}', "block b1: order is missing; a mapping has order,"),
        (json.dumps({"mapping": [ENTRY, ENTRY]}), "block b1 has two mappings"),
        (json.dumps({"mapping": [ENTRY]}), "no mapping for block 'b2'; add one, or use"),
    ],
)
def test_a_file_that_is_none_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        report(f"mapping={path}")
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_other_names_are_refused_and_the_published_order_has_no_mapping() -> None:
    with pytest.raises(SpecError, match=r"mapping is 'ics21'; it must be search, or a file"):
        report("mapping=ics21")
    with pytest.raises(SpecError, match="--set mapping has no effect while main_order is"):
        archon("mapping=mine.json", "main_order=published")
    assert not any(one.mapping for one in report("main_order=published").layers)


@SETTINGS
@given(block=BLOCKS, seed=st.integers(0, 99))
def test_what_a_search_finds_can_be_written_and_read(block: Block, seed: int) -> None:
    work = workload_of(block, seed=seed)
    assert work.trace is not None
    mapping = choose(block, fuse(block, work.trace), archon()).mapping
    read = parse_mapping(json.loads(json.dumps(mapping.to_dict())), "the file")
    assert read == mapping
    check_fits(read, Extents.of(block), archon(), "the file")


def test_files_are_read_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(toml(ENTRY))
    assert open_main_book(str(path)) is open_main_book(str(path))
