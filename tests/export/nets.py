"""Networks to export, as users write them; torch is there when this is imported."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def conv(c: int, o: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(c, o, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(o),
    ]


class Inverted(nn.Module):
    """A bottleneck of MobileNetV2; its ReLUs may work in place."""

    def __init__(
        self,
        c: int,
        m: int,
        o: int,
        stride: int = 1,
        act: type[nn.Module] = nn.ReLU,
        inplace: bool = False,
    ) -> None:
        super().__init__()
        one, two = (act(inplace=inplace) for _ in range(2))
        self.branch = nn.Sequential(
            *conv(c, m), one, *conv(m, m, 3, stride, groups=m), two, *conv(m, o)
        )
        self.shortcut = stride == 1 and c == o

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x) if self.shortcut else self.branch(x)


class MobileNetV2(nn.Module):
    """Three bottlenecks between head and tail."""

    def __init__(self, act: type[nn.Module] = nn.ReLU, inplace: bool = False) -> None:
        super().__init__()
        self.head = nn.Sequential(*conv(3, 8, 3, 2), act(inplace=inplace))
        self.one = Inverted(8, 24, 8, 1, act, inplace)
        self.two = Inverted(8, 24, 12, 2, act, inplace)
        self.three = Inverted(12, 36, 12, 1, act, inplace)
        self.tail = nn.Sequential(*conv(12, 32), act(inplace=inplace))
        self.classifier = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.three(self.two(self.one(self.head(x))))
        return self.classifier(nn.functional.adaptive_avg_pool2d(self.tail(x), 1).flatten(1))


def shuffle(x: Tensor, groups: int) -> Tensor:
    n, c, h, w = x.shape
    return x.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)


class Shuffled(nn.Module):
    """PW1 -> shuffle -> PW2 -> DW, as in the modified ShuffleNet, then a grouped PW-DW-PW.

    The second block shuffles its output.
    """

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Sequential(*conv(3, 6, 3))
        self.pw1, self.pw2 = (
            nn.Sequential(*conv(6, 18, groups=3)),
            nn.Sequential(*conv(18, 6, groups=3)),
        )
        self.dw = nn.Sequential(*conv(6, 6, 3, groups=6))
        self.wide, self.mid = (
            nn.Sequential(*conv(6, 18, groups=3)),
            nn.Sequential(*conv(18, 18, 3, groups=18)),
        )
        self.narrow = nn.Sequential(*conv(18, 6, groups=3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(x)
        y = functional.relu(self.pw1(x))
        y = self.dw(functional.relu(self.pw2(shuffle(y, 3))))
        x = y + x
        y = shuffle(self.narrow(torch.relu(self.mid(self.wide(x).relu()))), 3)
        return y + x


class Excited(nn.Module):
    """A block of MobileNetV3: h-swish, squeeze-and-excitation; and a fusable one behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.pw1, self.dw = nn.Sequential(*conv(3, 12)), nn.Sequential(*conv(12, 12, 3, groups=12))
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(12, 4, 1),
            nn.ReLU(),
            nn.Conv2d(4, 12, 1),
            nn.Hardsigmoid(),
        )
        self.pw2 = nn.Sequential(*conv(12, 8))
        self.last = Inverted(8, 16, 8)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.hardswish(self.dw(functional.hardswish(self.pw1(x))))
        return self.last(self.pw2(y * self.squeeze(y)))


class Branching(MobileNetV2):
    """Decides by the size of a map: torch.fx cannot follow that, torch.export can."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.mean(dim=(0, 1)).shape[0] > 4 and x.shape[2] > 4 else x * 2)


def ready(module: nn.Module, size: int = 16, seed: int = 3) -> nn.Module:
    """Give a module statistics and half of its weights zeros."""
    torch.manual_seed(seed)
    for one in module.modules():
        if isinstance(one, nn.Conv2d):
            one.weight.data = torch.randn_like(one.weight) * (torch.rand_like(one.weight) < 0.5)
        if isinstance(one, nn.BatchNorm2d):
            one.momentum = None
            nn.init.normal_(one.bias, 0.0, 0.3)
            nn.init.normal_(one.weight, 1.0, 0.4)  # some negative
    with torch.no_grad():
        module.train()(torch.randn(16, 3, size, size))
    return module.eval()


def mobilenet() -> nn.Module:
    """A factory as ``archonsim export --module tests.export.nets:mobilenet`` calls it."""
    torch.manual_seed(0)
    return ready(MobileNetV2())


def attention() -> nn.Module:
    """Hold an operator that no layer describes."""
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.PixelUnshuffle(2))


def blockless() -> nn.Module:
    """Two convolutions, no bottleneck."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))


def broken() -> nn.Module:
    """Fail."""
    raise RuntimeError("no weights today\nand a second line")


def number() -> int:
    """Return something else than a module."""
    return 3


def lazy() -> nn.Module:
    """Hold a weight that only a first image would shape."""
    return nn.Sequential(nn.LazyConv2d(4, 1))


def leaving() -> nn.Module:
    """Leave as a training script does that misses its arguments."""
    raise SystemExit(2)


class Attending(nn.Module):
    """A module that returns a tuple, one of which goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.attention = (
            nn.Conv2d(3, 4, 1),
            nn.MultiheadAttention(4, 2, batch_first=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x).flatten(2).transpose(1, 2)
        return self.attention(y, y, y)[0]


class Reread(nn.Module):
    """A ReLU in place, behind which its input is read again, twice."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = Inverted(3, 12, 3), Inverted(3, 12, 3), Inverted(3, 12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        y = functional.relu_(x)
        return self.three(self.two.branch(y) + x)


class Viewed(nn.Module):
    """A ReLU in place on a view, of which the whole is read again."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return functional.relu_(y.flatten(1)).sum() + y


class Weighted(nn.Module):
    """A sum with a factor that hides in an argument."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Inverted(3, 12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.block.branch(x), alpha=2)


class Restless(nn.Module):
    """A normalisation by each image's own statistics, in evaluation too."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.bn, self.two = Inverted(3, 12, 3), nn.BatchNorm2d(3), Inverted(3, 12, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.one.branch(x)
        return self.two(
            functional.batch_norm(y, None, None, self.bn.weight, self.bn.bias, training=True)
        )


class RestlessInside(Restless):
    """The same with running statistics at hand, on a block's last layer."""

    def forward(self, x: Tensor) -> Tensor:
        bn, y = self.bn, self.one.branch(x)
        assert bn.running_mean is not None
        assert bn.running_var is not None
        y = functional.batch_norm(
            y, bn.running_mean.clone(), bn.running_var.clone(), bn.weight, bn.bias, training=True
        )
        return self.two(y)


def labelled() -> nn.Module:
    """A network that classifies: its weights are the seed's."""
    torch.manual_seed(21)
    return MobileNetV2().eval()
