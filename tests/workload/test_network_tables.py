"""Networks of users: a table of their own, a plug-in's; every fault is one line."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archonsim.cli.app import run_command
from archonsim.errors import WorkloadError
from archonsim.network.networks import network, network_names, network_sources
from archonsim.network.table import read_network
from archonsim.spec.shipped import shipped_names

PAGE = Path(__file__).parents[2] / "docs" / "networks.md"
TABLE = re.findall(r"^```toml\n(# mynet.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)[0]
NETS = Path(__file__).parents[2] / "archonsim" / "data" / "networks"


@pytest.fixture
def mynet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Path("mynet.toml")
    path.write_text(TABLE)
    return path


def test_the_commands_of_the_page(mynet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = re.findall(r"^\$ archonsim (.*)$", PAGE.read_text("utf-8"), re.M)
    assert len(lines) == 7
    for line in lines:
        assert run_command(line.split()) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert "mynet.toml on dense" in out
    assert "b4.dw" in out


def test_the_error_of_the_page(mynet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mynet.write_text(TABLE.replace("residual", "residul"))
    assert run_command(["run", "-w", "mynet.toml", "-a", "dense"]) == 2
    assert capsys.readouterr().err in PAGE.read_text("utf-8")


def test_a_table_of_ones_own_is_as_good_as_ours(mynet: Path) -> None:
    for name in shipped_names("networks"):
        mynet.write_text(f'base = "{name}"')
        assert read_network(mynet).items == network(name).items
    mynet.write_text((NETS / "fusionet_digits.toml").read_text("utf-8"))
    assert read_network(mynet).items == network("fusionet_digits").items
    Path("wide.toml").write_text('base = "mynet.toml"\nevery_block = { predicted = false }')
    assert not any(block.predicted for block in read_network(Path("wide.toml")).blocks())


@pytest.mark.parametrize(
    ("old", "new", "needed"),
    [
        ('"avgpool"', '"avgpol"', "tail, row 2: kind is 'avgpol'; it must be 'conv', 'depthwise'"),
        ("stride = 2", "stride = 0", "blocks, row 1: stride is 0; it must be greater than or"),
        ("mid = 144, ", "", "blocks, row 2: mid is missing"),
        ("[3, 32, 32]", "[3, 32]", "input is [3, 32]; it must be [channels, height, width]"),
        ("[3, 32, 32]", "[3, 32, 'x']", "input is [3, 32, 'x']; it must be [channels, height"),
        ("kernel = 3, act", "kernel = [1, 2, 3], act", "head, row 1: kernel is [1, 2, 3]; it must"),
        ("kernel = 3 }", "kernel = 'x' }", "every_block: kernel is 'x'; it must be a whole number"),
        ("mid = 96", "mid = true", "blocks, row 1: mid is True; it must be a valid integer"),
        ("stride = 2 }", 'residual = "add" }', "blocks, row 1: block b1: a residual sum needs"),
        ("groups = 2", "groups = 7", "blocks, row 3: layer 'b4.pw1': 24 -> 144 channels do not"),
        ("repeat = 2", "repeat = 1000000", "blocks, row 2: repeat is 1000000; it must be less"),
        ("dataset", "datset", "unknown key 'datset'; did you mean 'dataset'?"),
        ("input = [3, 32, 32]", "", "input is missing"),
        ("input = [3", "input = [[3", "not a TOML file"),
        ("dataset =", "base =", "base is 'cifar10'; it must be the name of a shipped table, or a"),
        ('dataset = "cifar10"', 'base = "mynet.toml"', "base is 'mynet.toml', which lies over"),
        ('{ kind = "fc", out = 10 }', '"fc"', "tail, row 3: it is 'fc'; it must be a valid dict"),
    ],
)
def test_a_fault_is_one_line(
    old: str, new: str, needed: str, mynet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert old in TABLE
    mynet.write_text(TABLE.replace(old, new))
    assert run_command(["networks", "mynet.toml"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"archonsim: error: mynet.toml: {needed}")
    assert said.count("\n") == 1


def test_a_table_without_layers(mynet: Path) -> None:
    mynet.write_text("input = [1, 8, 8]")
    with pytest.raises(WorkloadError, match="no layers: give at least one row"):
        read_network(mynet)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
VALUES = st.integers(-2, 2**21) | TEXT | st.booleans() | st.just([3, 4]) | st.floats(0, 9)


@given(st.sampled_from(re.findall(r"\b(\w+) = (?=[\d\[\"])", TABLE)), VALUES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_any_value_is_a_network_or_one_line(mynet: Path, key: str, value: object) -> None:
    text = f"{key} = {json.dumps(value).replace(chr(127), ' ')}"
    mynet.write_text(re.sub(rf"\b{key} = [^,}}\n]*", lambda found: text, TABLE, count=1), "utf-8")
    with contextlib.suppress(WorkloadError), raises_one_line():
        read_network(mynet)


@contextlib.contextmanager
def raises_one_line() -> Iterator[None]:
    """Look at an error on its way."""
    try:
        yield
    except WorkloadError as error:
        said = str(error)
        if not said.startswith("mynet.toml: ") or "\n" in said:
            pytest.fail(said)
        raise


PLUGIN = """
from pathlib import Path
from archonsim.network.table import read_network

def mynet():
    return read_network(Path("mynet.toml"))

def number():
    return 7
"""


def ask_with_plugin(
    folder: Path, entries: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run a command where a package of that name is installed."""
    (folder / "my_nets.py").write_text(PLUGIN)
    info = folder / "my_nets-1.2.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-nets\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[archonsim.networks]\n{entries}\n")
    return subprocess.run(
        [sys.executable, "-m", "archonsim", *arguments],
        env=os.environ | {"PYTHONPATH": str(folder.resolve())},
        capture_output=True,
        text=True,
        check=False,
    )


def test_networks_of_plug_ins_say_where_they_come_from(mynet: Path) -> None:
    entries = "mynet = my_nets:mynet\nnumber = my_nets:number"
    row = ask_with_plugin(Path(), entries, "networks", "mynet", "-f", "csv")
    assert row.stdout.count("\n") == 17, row.stderr
    bad = ask_with_plugin(Path(), entries, "networks", "number")
    assert bad.stderr == (
        "archonsim: error: network 'number': its entry point returned int, not a Workload\n"
    )
    listed = ask_with_plugin(Path(), "mynet = my_nets:mynet", "networks", "-f", "csv").stdout
    lines = [line.split(",") for line in listed.splitlines()]
    assert len(lines) == 1 + 48 + 1
    assert {line[0]: line[-1] for line in lines}["mynet"] == "my-nets 1.2: my_nets:mynet"
    assert [line[-1] for line in lines].count("shipped") == 48


def test_a_plug_in_that_takes_a_shipped_name_is_refused(mynet: Path) -> None:
    done = ask_with_plugin(Path(), "resnet50 = my_nets:mynet", "networks")
    assert done.returncode == 2
    assert done.stderr == (
        "archonsim: error: network 'resnet50' is shipped with archonsim, and my-nets 1.2:"
        " my_nets:mynet registers that name, too: rename or uninstall that one\n"
    )


def test_shipped_names_stand_in_one_place() -> None:
    files = {path.stem for path in NETS.rglob("*.toml")}
    assert {name.partition("-fuse-")[0] for name in network_names()} == files
    assert len(network_names()) == 48
    assert set(network_sources().values()) == {"shipped"}
