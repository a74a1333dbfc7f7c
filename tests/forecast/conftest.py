"""A workload whose blocks are not pruned."""

from __future__ import annotations

from pathlib import Path

import pytest

from archonsim.network.table import read_network
from archonsim.trace.synthetic import synthesize
from archonsim.tracefile.writer import write_workload

TABLE = """
input = [3, 16, 16]
every_block = { kernel = 3 }
head = [{ kind = "conv", out = 16, kernel = 3, activation = "relu" }]
blocks = [
    { mid = 96, out = 24 },
    { mid = 144, out = 40, stride = 2, groups = 2, shuffle = 2 },
    { mid = 120, out = 40, order = "pw-pw-dw", residual = "add" },
]
tail = [{ kind = "avgpool" }, { kind = "fc", out = 10 }]
"""


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workload of three blocks that are not pruned."""
    folder = tmp_path_factory.mktemp("dense")
    (folder / "net.toml").write_text(TABLE, "utf-8")
    work, trace = synthesize(
        read_network(folder / "net.toml"), seed=3, weight_density=(1.0, 1.0, 1.0)
    )
    write_workload(folder / "net.h5", work, trace)
    return folder / "net.h5"
