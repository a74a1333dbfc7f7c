"""Modified MobileNetV2 begins as torchvision's: the same maps, or their principal components."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from torch.nn import functional  # noqa: E402

from archonsim.errors import WorkloadError  # noqa: E402
from archonsim.zoo.network import Network, build  # noqa: E402
from tests.zoo import test_start  # noqa: E402
from workloads.data import Split  # noqa: E402
from workloads.start import start_from  # noqa: E402
from workloads.transfer import BLOCKS, _components  # noqa: E402

State = test_start.State
data, state = test_start.data, test_start.state

#: Torchvision's blocks of 64 channels, of which the modified network has 40.
WIDE = (7, 8, 9, 10)


def narrow(state: State) -> State:
    """Let 64 channels carry what 40 can."""
    changed = dict(state)
    for number in WIDE:
        base = f"features.{number}.conv"
        kernel = changed[f"{base}.2.weight"].clone()
        shift = changed[f"{base}.3.bias"].clone()
        kernel[40:], shift[40:] = 0, 0
        changed[f"{base}.2.weight"], changed[f"{base}.3.bias"] = kernel, shift
    return changed


@pytest.fixture
def network(state: State, data: Split, tmp_path: Path) -> Network:
    torch.manual_seed(2)
    torch.save(narrow(state), tmp_path / "weights.pth")
    network = build("mobilenetv2mod_c10")
    start_from(network, tmp_path / "weights.pth", data)
    for name in BLOCKS:  # what begins at random is left out of the comparison
        block: Any = network.items[name]
        mids = 32 if name == "b0" else state[f"features.{BLOCKS[name]}.conv.0.0.weight"].shape[0]
        block.pw2.conv.weight.data[:, mids:] = 0
    # As when the statistics were taken: the head runs on its own, the blocks on the batch's.
    return network.train()


def normalised(x: Any, state: State, norm: str) -> Any:
    """Normalise by the batch's statistics."""
    return functional.batch_norm(
        x, None, None, state[f"{norm}.weight"], state[f"{norm}.bias"], training=True, eps=1e-3
    )


def theirs(state: State, number: int, x: Any, stride: int) -> Any:
    """Run one of torchvision's blocks, without its shortcut."""
    base = f"features.{number}.conv"
    y, inner, last = x, "0", "1"
    if number > 1:
        y = normalised(functional.conv2d(y, state[f"{base}.0.0.weight"]), state, f"{base}.0.1")
        y, inner, last = y.relu(), "1", "2"
    kernel = state[f"{base}.{inner}.0.weight"]
    y = functional.pad(y, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))
    y = functional.conv2d(y, kernel, None, stride, 0, 1, len(kernel))
    y = normalised(y, state, f"{base}.{inner}.1").relu()
    y = functional.conv2d(y, state[f"{base}.{last}.weight"])
    return normalised(y, state, f"{base}.{int(last) + 1}")


def test_blocks_begin_as_torchvisions(network: Network, state: State, data: Split) -> None:
    weights = narrow(state)
    items: Any = network.items
    with torch.no_grad():
        head = items["head_conv"].eval()(data.batch(slice(None)))
        x, other = items["b0"](head), theirs(weights, 1, head, 1)
        torch.testing.assert_close(x, other, rtol=1e-2, atol=1e-2)
        for name in ("b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "b9", "b10", "b11"):
            block = items[name]
            x = block(x)
            if name in BLOCKS:
                y = theirs(weights, BLOCKS[name], other, block.dw.layer.stride_h)
                other = other + y if block.block.residual == "add" else y
            if x.shape[1] == other.shape[1]:
                torch.testing.assert_close(x, other, rtol=1e-2, atol=1e-2)
            else:  # 40 components of 64 channels that carry no more
                assert x.shape[1] == 40
                torch.testing.assert_close(x.norm(dim=1), other.norm(dim=1), rtol=1e-2, atol=1e-2)


def test_components_are_orthonormal_and_the_largest_first() -> None:
    rng = torch.Generator().manual_seed(3)
    maps = torch.randn(4, 6, 5, 5, generator=rng) * (2.0 ** torch.arange(6, 0, -1))[:, None, None]
    found = _components([maps], 3)
    torch.testing.assert_close(found @ found.T, torch.eye(3))
    # The three channels of the largest variance, in their order.
    assert found.abs().argmax(1).tolist() == [0, 1, 2]


def test_a_state_that_lacks_a_block_is_refused(state: State, data: Split, tmp_path: Path) -> None:
    lacking = {name: value for name, value in state.items() if "features.9.conv.1" not in name}
    torch.save(lacking, tmp_path / "weights.pth")
    with pytest.raises(WorkloadError, match=r"no features\.9\.conv\.1\.0\.weight"):
        start_from(build("mobilenetv2mod_c10"), tmp_path / "weights.pth", data)
