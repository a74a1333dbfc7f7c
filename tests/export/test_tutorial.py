"""The tutorial's code and commands, run as they stand on the page."""

from __future__ import annotations

import re
import shlex
import sys
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")
pytest.importorskip("sklearn", reason="scikit-learn is not installed (extra 'train')")
pytest.importorskip("PIL", reason="pillow is not installed (extra 'train')")

from archonsim.cli.app import run_command  # noqa: E402
from archonsim.tracefile.reader import open_workload  # noqa: E402

PAGE = Path(__file__).parents[2] / "docs" / "tutorial-your-own-network.md"


def blocks() -> Iterator[tuple[str, str]]:
    """Yield (language, content) of each block of the page."""
    yield from re.findall(
        r"^```(\w*)\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )


def words(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def runnable(command: str) -> bool:
    """Figures are drawn where that command and its library are there."""
    return "archonsim plot" not in command or (
        find_spec("archonsim.cli.plot") is not None and find_spec("matplotlib") is not None
    )


def run_page(outputs: dict[str, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    """Write the page's files, run its Python and its commands in order.

    Keep what each command said.
    """
    names: dict[str, object] = {}
    for language, content in blocks():
        if language == "python" and content.startswith("# file: "):
            Path(content.splitlines()[0].removeprefix("# file: ")).write_text(content)
        elif language == "python":
            exec(compile(content, str(PAGE), "exec"), names)
        elif content.startswith("archonsim ") and "--onnx" not in content:
            for command in filter(runnable, content.splitlines()):
                assert run_command(shlex.split(command)[1:]) == 0
                said = capsys.readouterr()
                outputs[command] = words(said.out + said.err)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("mynet", None)


def test_the_page_runs_from_module_to_speedup(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs: dict[str, list[str]] = {}
    run_page(outputs, capsys)
    commands = list(outputs)
    assert [command.split()[1] for command in commands] == [
        "export",
        "export",
        "verify",
        "inspect",
        "compare",
        "run",
        "plot",
    ][: len(commands)]
    assert len(commands) >= 6
    shown = next(content for _, content in blocks() if content.startswith("mynet:MobileNetV2\n"))
    rows = [line for line in words(shown) if line and "torch" not in line and line != "..."]
    assert len(rows) > 4
    assert set(rows) <= set(outputs[commands[0]])
    assert any("10 of 11 candidate blocks fuse" in line for line in outputs[commands[1]])
    assert sum("PASS" in line for line in outputs[commands[2]]) == 11
    assert [line.split()[1] for line in outputs[commands[4]] if line.startswith("mynet.h5 ")] == [
        "dense",
        "sparse",
        "archon",
    ]
    oracle, predicted = open_workload(tmp_path / "oracle.h5"), open_workload(tmp_path / "mynet.h5")
    assert (oracle.provenance.untrained, oracle.provenance.flavour) == (True, "pruned")
    assert (predicted.provenance.untrained, predicted.provenance.image_indices) == (True, "0-1")

    pytest.importorskip(
        "onnxruntime",
        reason="onnxruntime is not installed (extra 'onnx'); the page's ONNX command was not run",
    )
    import mynet

    network = mynet.MobileNetV2()
    network.load_state_dict(torch.load(tmp_path / "pruned.pt"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network.eval(), (torch.zeros(1, 3, 32, 32),), "mynet.onnx", dynamo=False)
    (command,) = (content for _, content in blocks() if "--onnx" in content)
    assert run_command(shlex.split(command)[1:]) == 0
    assert sum(1 for _ in open_workload(tmp_path / "mynet-onnx.h5").blocks()) == 10
