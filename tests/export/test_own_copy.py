"""What users do to modules before they export them, and to values within.

The masks stay those of the module's own run.
"""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from torch import Tensor, nn  # noqa: E402
from torch.nn.utils import parametrizations, prune  # noqa: E402

from archonsim.errors import WorkloadError  # noqa: E402
from archonsim.export import export_module  # noqa: E402
from archonsim.network.workload import Workload  # noqa: E402
from archonsim.runs.verify import verify  # noqa: E402
from tests.export.nets import (  # noqa: E402
    Inverted,
    MobileNetV2,
    Reread,
    Restless,
    RestlessInside,
    Viewed,
    Weighted,
    ready,
)


def pictures(count: int = 2, size: int = 16) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(7))


def last_output(workload: Workload) -> np.ndarray:
    assert workload.trace is not None
    return workload.trace.block([block.name for block in workload.blocks()][-1], 0).output


def check(module: nn.Module, blocks: int) -> None:
    """Export; the last block ends the network, so its output is the module's, to the bit."""
    images = pictures()
    before = images.clone()
    workload = export_module(module, images)
    assert sum(1 for _ in workload.blocks()) == blocks
    assert all(one.passed for one in verify(workload, images=[0, 1]))
    with torch.no_grad():
        np.testing.assert_array_equal(last_output(workload), module(images[:1].clone())[0].numpy())
    assert torch.equal(images, before)


def test_what_an_operator_changed_in_place_is_read_changed() -> None:
    check(ready(Reread()), 3)


def test_the_image_may_be_changed_in_place() -> None:
    check(nn.Sequential(nn.ReLU(inplace=True), ready(Inverted(3, 12, 3))).eval(), 1)


def test_a_view_of_a_changed_value_is_refused() -> None:
    with pytest.raises(
        WorkloadError, match=r"in place, of which conv is a view that is read again"
    ):
        export_module(Viewed().eval(), pictures())


@pytest.mark.filterwarnings("ignore::FutureWarning")  # the old weight_norm
@pytest.mark.parametrize("kind", ["mask", "weight norm", "parametrised"])
def test_weights_that_are_computed_from_others(kind: str) -> None:
    module = nn.Sequential(ready(Inverted(3, 12, 3)), ready(Inverted(3, 12, 3))).eval()
    convolutions = [one for one in module.modules() if isinstance(one, nn.Conv2d)]
    for one in convolutions:
        if kind == "mask":
            prune.l1_unstructured(one, "weight", 0.7)
        elif kind == "weight norm":
            one.weight.data += 0.01  # a filter of zeros has no direction
            torch.nn.utils.weight_norm(one)
        else:
            one.weight.data += 0.01
            parametrizations.weight_norm(one)
    check(module, 2)
    if kind == "mask":
        assert all(hasattr(one, "weight_orig") for one in convolutions)  # left as it is


def test_a_sum_with_a_factor_is_refused() -> None:
    with pytest.raises(WorkloadError, match=r"alpha is 2; write x \+ alpha \* y"):
        export_module(ready(Weighted()), pictures())


@pytest.mark.parametrize("kind", [Restless, RestlessInside])
def test_statistics_of_the_image_itself_are_not_folded(kind: type[nn.Module]) -> None:
    check(ready(kind()), 2)


def test_a_control_flow_that_nobody_follows_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    class Deciding(MobileNetV2):
        def forward(self, x: Tensor) -> Tensor:
            y = super().forward(x)
            return y * 2 if y.mean() > 100 else y

    with pytest.raises(
        WorkloadError, match=r"Deciding: cannot be traced; torch\.fx: .*; torch\.export: "
    ) as caught:
        export_module(ready(Deciding()), pictures())
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""
