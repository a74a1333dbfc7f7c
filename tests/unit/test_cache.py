"""The mapper's results on disk: by content, whole or not at all, never in the way."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from archonsim import cache
from archonsim.dataflow import mapping_cache
from archonsim.dataflow.mapper import find_mapping
from archonsim.dataflow.mapping_cache import best_mapping
from archonsim.dataflow.problem import Problem
from tests.row_stationary import dense

PROBLEM = Problem(c=12, m=10, p=4, q=4)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.DIRECTORY_VARIABLE, str(tmp_path / "own"))
    best_mapping.cache_clear()
    return tmp_path / "own"


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_folder_follows_the_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache.cache_dir() == tmp_path / "own"
    monkeypatch.delenv(cache.DIRECTORY_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_dir() == tmp_path / "archonsim"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache.cache_dir() == Path("/home/someone/.cache/archonsim")


def test_a_result_is_searched_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hierarchy = dense().hierarchy()
    first = best_mapping(PROBLEM, hierarchy)
    assert first == find_mapping(PROBLEM, hierarchy)
    assert [path.suffix for path in files(folder)] == ["", ".json"]

    def searched(*arguments: object, **options: object) -> None:
        raise AssertionError("searched again")

    best_mapping.cache_clear()
    monkeypatch.setattr(mapping_cache, "find_mapping", searched)
    assert best_mapping(PROBLEM, hierarchy) == first
    with pytest.raises(AssertionError, match="searched again"):
        best_mapping(PROBLEM, dense("pe.psum_words=12").hierarchy())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": "other", "value": {}}'])
def test_damaged_and_foreign_files_count_as_absent(folder: Path, text: str) -> None:
    hierarchy = dense().hierarchy()
    first = best_mapping(PROBLEM, hierarchy)
    path = files(folder)[-1]
    path.write_text(text)
    best_mapping.cache_clear()
    assert best_mapping(PROBLEM, hierarchy) == first
    assert json.loads(path.read_text())["value"] == first.to_table()


@pytest.mark.parametrize("value", [{"psum_spad": ["M3"]}, {"nowhere": []}, 7])
def test_an_edited_mapping_is_not_believed(folder: Path, value: object) -> None:
    hierarchy = dense().hierarchy()
    first = best_mapping(PROBLEM, hierarchy)
    path = files(folder)[-1]
    path.write_text(json.dumps({**json.loads(path.read_text()), "value": value}))
    best_mapping.cache_clear()
    assert best_mapping(PROBLEM, hierarchy) == first


def test_a_file_answers_its_own_question_only(folder: Path) -> None:
    cache.store("topic", {"a": 1}, "yes")
    cache.store("topic", {"a": 2}, "no")
    one, two = (path for path in files(folder) if path.suffix == ".json")
    texts = one.read_text(), two.read_text()
    one.write_text(texts[1])
    two.write_text(texts[0])
    assert cache.load("topic", {"a": 1}) is cache.load("topic", {"a": 2}) is None


def test_a_folder_that_cannot_be_written_costs_time_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cache.DIRECTORY_VARIABLE, str(tmp_path / "file"))
    assert best_mapping(PROBLEM, dense().hierarchy()) == find_mapping(PROBLEM, dense().hierarchy())


def _store_often(value: int) -> bool:
    for _ in range(200):
        cache.store("race", {"one": 1}, [value] * 50)
        read = cache.load("race", {"one": 1})
        if read is None or len(set(read)) != 1:
            return False
    return True


def test_concurrent_writers_leave_whole_files(folder: Path) -> None:
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert all(pool.map(_store_often, range(3)))
    assert [path.suffix for path in files(folder)] == ["", ".json"]
