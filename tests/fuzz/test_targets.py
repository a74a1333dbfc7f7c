"""Seeds of the fuzzer are read, what it ever found is a clean error, and so are a few mutations."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed (extra 'train')")
pytest.importorskip("onnx", reason="onnx is not installed (extra 'onnx')")
pytest.importorskip("tflite", reason="tflite is not installed (extra 'tflite')")

from fuzz.targets import HERE, SECONDS, TARGETS, attempt

FINDS = sorted(path for path in (HERE / "finds").glob("*/*") if path.is_file())


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_read(name: str, tmp_path: Path) -> None:
    read = [attempt(TARGETS[name], content, tmp_path) for content in TARGETS[name].seeds()]
    assert any(read)


@pytest.mark.parametrize("path", FINDS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_is_refused_or_read(path: Path, tmp_path: Path) -> None:
    start = time.process_time()
    attempt(TARGETS[path.parent.name], path.read_bytes(), tmp_path)
    assert time.process_time() - start < SECONDS


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", [name for name in TARGETS if not name.startswith("keras")])
def test_mutations_are_refused_or_read(name: str, tmp_path: Path) -> None:
    chance = random.Random(name)
    for content in TARGETS[name].seeds():
        for _ in range(20):
            changed = bytearray(content)
            for _ in range(chance.randint(1, 4)):
                at = chance.randrange(len(changed))
                changed[at : at + chance.randint(0, 4)] = chance.randbytes(chance.randint(0, 4))
            attempt(TARGETS[name], bytes(changed), tmp_path)
