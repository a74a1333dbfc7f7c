"""Processes that train together: what one process computes, and one state in all of them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")
pytest.importorskip(
    "sklearn", reason="scikit-learn, which brings the digits, is not installed (extra 'train')"
)

from archonsim.errors import WorkloadError  # noqa: E402
from archonsim.zoo.network import build  # noqa: E402
from tests.zoo.test_training import TINY, Listener, some  # noqa: E402
from workloads.checkpoint import UnfinishedError  # noqa: E402
from workloads.evaluate import accuracy  # noqa: E402
from workloads.team import Team, together  # noqa: E402
from workloads.trainer import Trainer  # noqa: E402


def gradients(team: Team, folder: Path) -> None:
    """Store what a process holds after one step of averages: gradients, buffers, accuracy."""
    torch.manual_seed(team.rank)
    network = build("fusionet_digits")
    team.follow(network)
    split = some("train", 24)
    # Statistics that run are used: each process normalises as all do, whatever its share.
    network.eval()
    x, labels = team.share(split.images.float() / 16), team.share(split.labels)
    loss = torch.nn.functional.cross_entropy(network(x), labels)
    loss.backward()
    next(network.buffers()).fill_(team.rank)
    mean = team.average(network, loss)
    held = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    next(network.buffers()).fill_(0)
    held |= {"loss": mean, "accuracy": torch.tensor(accuracy(network, split, batch=5, team=team))}
    torch.save(held, folder / f"{team.rank}-of-{team.size}.pt")


def test_two_processes_compute_the_gradients_that_one_does(tmp_path: Path) -> None:
    gradients(Team(), tmp_path)
    together(2, gradients, tmp_path)
    names = ("0-of-1", "0-of-2", "1-of-2")
    one, first, second = (torch.load(tmp_path / f"{name}.pt") for name in names)
    assert len(one) > 20
    for key, wanted in one.items():
        torch.testing.assert_close(first[key], wanted, rtol=1e-4, atol=1e-6)
        assert torch.equal(first[key], second[key]), key


def run(team: Team, folder: Path, minutes: float | None) -> Any:
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    data = some("train", None), some("test", 40)
    return Trainer(TINY, *data, folder, Listener(), deadline, team=team).run()


@pytest.mark.full
def test_a_team_that_was_interrupted_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    results = together(2, run, tmp_path / "whole", None)
    stops = 0
    while True:
        try:
            again = together(2, run, tmp_path / "parts", -1.0 if stops < 4 else None)
        except UnfinishedError:
            stops += 1
            continue
        break
    assert stops == 4
    timeless = [{**row, "seconds": 0} for row in results]
    assert timeless == [{**row, "seconds": 0} for row in again]
    assert [row["flavour"] for row in results] == ["vanilla", "pruned", "pred"]
    for flavour in ("vanilla", "pruned", "pred"):
        one, other = (
            torch.load(tmp_path / name / f"{flavour}.pt", weights_only=True)["model"]
            for name in ("whole", "parts")
        )
        assert all(torch.equal(tensor, other[key]) for key, tensor in one.items())


def desert(team: Team) -> None:
    """The second process is killed; the first goes on to average."""
    if not team.first:
        os.kill(os.getpid(), signal.SIGKILL)
    team.total(1)


def test_a_killed_process_ends_the_team_in_one_line() -> None:
    with pytest.raises(WorkloadError, match=r"one of the 2 processes .* ended"):
        together(2, desert)
