"""Parameters of exported networks: as many as the module registers, whatever it is made of."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from archonsim.export import export_module, export_onnx  # noqa: E402
from archonsim.network.workload import Workload  # noqa: E402
from archonsim.tracefile.reader import open_workload  # noqa: E402
from archonsim.tracefile.writer import write_workload  # noqa: E402
from tests.export.nets import MobileNetV2, Shuffled, ready  # noqa: E402


class Dense(nn.Module):
    """Layers of a DenseNet: normalisations before convolutions, joined maps, a norm at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.n1, self.c1 = nn.BatchNorm2d(8), nn.Conv2d(8, 16, 1, bias=False)
        self.n2, self.c2 = nn.BatchNorm2d(16), nn.Conv2d(16, 4, 3, padding=1, bias=False)
        self.last, self.fc = nn.BatchNorm2d(12), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.c2(functional.relu(self.n2(self.c1(functional.relu(self.n1(x))))))
        y = functional.relu(self.last(torch.cat([x, y], 1)))
        return self.fc(y.mean((2, 3)))


class Shared(nn.Module):
    """A convolution that is used twice, a factor that is no norm, and a layer that is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.unused = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(7, 7)
        self.plain = nn.Conv2d(3, 4, 1)
        self.free = nn.BatchNorm2d(4, affine=False)
        self.offset = nn.Parameter(torch.ones(4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(functional.relu(self.conv(x)))
        return 0.5 * self.free(self.plain(0.5 * x)) + self.offset


@pytest.mark.parametrize("kind", [Dense, Shared, MobileNetV2, Shuffled])
def test_parameters_are_the_modules_own(kind: type[nn.Module], tmp_path: Path) -> None:
    module = kind().eval() if kind is Shared else ready(kind(), 8)
    workload = export_module(module, torch.randn(1, 3, 8, 8))
    write_workload(tmp_path / "w.h5", workload, workload.trace)
    own = sum(one.numel() for one in module.parameters())
    assert workload.params == open_workload(tmp_path / "w.h5").params == own


def test_a_factor_is_no_normalisation() -> None:
    workload: Workload = export_module(
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)).eval(), torch.randn(1, 3, 8, 8)
    )
    assert workload.unexecuted_params == 0

    class Halved(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return 0.5 * self.conv(x)

    halved = export_module(Halved().eval(), torch.randn(1, 3, 8, 8))
    (layer,) = halved.layers()
    assert (layer.batchnorm, halved.params, halved.unexecuted_params) == (False, 16, 0)


@pytest.mark.parametrize("kind", [Dense, MobileNetV2])
def test_onnx_files_have_the_parameters_that_were_not_folded(
    kind: type[nn.Module], tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra 'onnx')")
    module, images = ready(kind(), 8), torch.randn(1, 3, 8, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (images,),
            tmp_path / "x.onnx",
            dynamo=False,
            do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE,
        )
    own = sum(one.numel() for one in module.parameters())
    assert export_onnx(tmp_path / "x.onnx", images.numpy()).params == own
