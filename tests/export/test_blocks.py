"""Why a bottleneck does not fuse: the reason names the layer that stands in the way."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from rich.console import Console

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from torch import Tensor, nn  # noqa: E402

from archonsim.export.examine import examine  # noqa: E402
from archonsim.export.images import as_images  # noqa: E402
from archonsim.export.listing import listing  # noqa: E402
from archonsim.export.source import module_source  # noqa: E402
from archonsim.show.terminal.export_list import render_listing  # noqa: E402
from tests.export.nets import Excited, Inverted, MobileNetV2, conv, ready  # noqa: E402

IMAGE = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)


class Steps(nn.Module):
    """A PW-DW-PW whose steps can be replaced."""

    def __init__(self, **changed: nn.Module) -> None:
        super().__init__()
        steps = {
            "pw1": nn.Sequential(*conv(3, 12)),
            "act1": nn.ReLU(),
            "dw": nn.Sequential(*conv(12, 12, 3, groups=12)),
            "act2": nn.ReLU(),
            "pw2": nn.Sequential(*conv(12, 6)),
            "act3": nn.Identity(),
        } | changed
        self.steps = nn.ModuleDict(steps)

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps.values():
            x = step(x)
        return x


class Peeking(Steps):
    """Another reader of the wide map."""

    def forward(self, x: Tensor) -> Tensor:
        wide = self.steps["act1"](self.steps["pw1"](x))
        return self.steps["pw2"](self.steps["act2"](self.steps["dw"](wide)) + wide)


def rows(module: nn.Module) -> list[dict[str, object]]:
    source = module_source(ready(module, 8), IMAGE, "net")
    return listing(examine(source))["candidates"]


def test_the_unchanged_steps_fuse() -> None:
    (row,) = rows(Steps())
    assert (row["fusable"], row["reason"], row["block"]) == (True, "", "b1")
    assert row["layers"] == ["steps.pw1.0", "steps.dw.0", "steps.pw2.0"]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (
            lambda: Steps(pw1=nn.Sequential(*conv(3, 12, 3))),
            "steps.pw1.0 before it is a 3x3 convolution, not 1x1 with stride 1",
        ),
        (
            lambda: Steps(pw1=nn.Sequential(*conv(3, 12, 1, 2))),
            "steps.pw1.0 before it is a 1x1 convolution with stride 2, not",
        ),
        (lambda: Steps(act1=nn.Identity()), "no activation follows steps.pw1.0"),
        (
            lambda: Steps(act1=nn.Hardswish()),
            "steps.pw1.0 is followed by hswish, which no mask can replace",
        ),
        (
            lambda: Steps(act2=nn.SiLU()),
            "steps.dw.0 is followed by silu, which no mask can replace",
        ),
        (
            lambda: Steps(dw=nn.Sequential(*conv(12, 12, 3, groups=3))),
            "steps.dw.0 is a 3x3 convolution over many channels",
        ),
        (
            lambda: Steps(pw2=nn.Sequential(*conv(12, 6, 3))),
            "steps.pw2.0 behind it is a 3x3 convolution",
        ),
        (
            lambda: Steps(pw2=nn.Sequential(nn.AvgPool2d(2), *conv(12, 6))),
            "output of steps.dw.0 goes to steps.pw2.0 (AvgPool2d)",
        ),
        (
            lambda: Steps(act3=nn.ReLU()),
            "steps.pw2.0 is followed by relu; a block ends in a linear layer",
        ),
        (
            lambda: Steps(pw2=nn.Sequential(*conv(12, 6, groups=3))),
            "steps.pw1.0 has 1 groups and steps.pw2.0 3; they must agree",
        ),
        (Peeking, "the output of steps.pw1.0 is read 2 times"),
    ],
)
def test_the_reason_names_what_stands_in_the_way(
    make: Callable[[], nn.Module], reason: str
) -> None:
    (row,) = rows(make())
    assert not row["fusable"]
    assert reason in str(row["reason"])


def test_a_layer_is_part_of_one_block_only() -> None:
    """PW-DW-PW-DW-PW: the middle 1x1 ends a block and could begin one, but for its ReLU."""
    chain = nn.Sequential(Steps(), Inverted(6, 12, 6))
    assert [row["fusable"] for row in rows(chain)] == [True, True]
    shared = nn.Sequential(Steps(), nn.ReLU(), *conv(6, 6, 3, groups=6), nn.ReLU(), *conv(6, 6))
    first, second = rows(shared)
    assert not first["fusable"]
    assert (second["fusable"], second["layers"]) == (True, ["0.steps.pw2.0", "2", "5"])


def test_two_orders_never_share_a_layer() -> None:
    """PW-PW-DW-PW-DW: whichever comes first takes its layers, and the other says so."""
    net = nn.Sequential(
        *conv(3, 6),
        nn.ReLU(),
        *conv(6, 12),
        nn.ReLU(),
        *conv(12, 12, 3, groups=12),
        *conv(12, 12),
        nn.ReLU(),
        *conv(12, 12, 3, groups=12),
        nn.ReLU(),
        *conv(12, 4),
    )
    found = rows(net)
    assert [row["order"] for row in found] == ["pw-pw-dw", "pw-dw-pw"]
    names = [name for row in found for name in row["layers"]]  # type: ignore[attr-defined]
    assert len(names) == len(set(names)) == 6


def test_a_shortcut_around_something_else_stays_a_layer() -> None:
    class Longer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.block = nn.Sequential(*conv(3, 3)), Inverted(3, 6, 3)
            self.block.shortcut = False

        def forward(self, x: Tensor) -> Tensor:
            return x + self.block(self.first(x))

    source = module_source(ready(Longer(), 8), IMAGE, "net")
    items, _ = examine(source).items()
    assert [item.name for item in items] == ["first.0", "b1", "add"]


def test_what_has_no_mask_is_listed_with_its_reason() -> None:
    reasons = [str(row["reason"]) for row in rows(Excited())]
    assert "hswish" in reasons[0]
    assert reasons[1] == ""


def test_relu6_is_measured_where_there_are_images() -> None:
    source = module_source(ready(MobileNetV2(nn.ReLU6), 8), IMAGE, "net")
    unknown = listing(examine(source))["candidates"]
    assert [row["clipped"] for row in unknown] == [None, None, None]
    loud = listing(examine(source, as_images(IMAGE * 50)))["candidates"]
    assert all(row["fusable"] and any(row["clipped"]) for row in loud)
    table = render_listing(listing(examine(source, as_images(IMAGE * 50))))
    console = Console(record=True, width=300, file=io.StringIO())
    console.print(table)
    assert "of the activations, with masks of three values" in console.export_text()
    quiet = listing(examine(source, as_images(IMAGE / 50)))["candidates"]
    assert all(row["clipped"] == [0.0, 0.0] and row["fusable"] for row in quiet)
