"""How fast the CPU kernels train: images a second of whole steps of one network.

Run with ``python -m benchmarks.bench_training [NETWORK] [--threads N] [--plain]``; ``--plain``
leaves the kernels out. Cases of few channels are measured on PyTorch's own layers in bfloat16, too
(a recipe's key ``plain``). A step is forward and backward, the median of three after one that
compiles; CPU seconds stand beside wall ones for machines that others use, too. No data set is
needed: images are random.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from statistics import median

import numba
import torch
from torch.nn import functional

from archonsim.zoo.fused import FusedSettings
from archonsim.zoo.network import Network, build
from workloads.parts import freeze_real_branches, predictors, training_mode

STEPS = 3
#: (flavour, share of the wide channels, images of a step, pixels a side, PyTorch's own layers)
CASES = (
    ("vanilla", 0.125, 128, 16, False),
    ("vanilla", 0.125, 128, 16, True),
    ("vanilla", 0.125, 64, 32, False),
    ("vanilla", 0.125, 64, 32, True),
    ("vanilla", 0.4444, 64, 32, False),
    ("vanilla", 0.4444, 64, 32, True),
    ("vanilla", 1.0, 64, 32, False),
    ("pred", 1.0, 64, 32, False),
)


def make(name: str, flavour: str, width: float, own: bool, plain: bool) -> Network:
    """Return the network, ready to train; `own`: on PyTorch's layers where `width` chooses some."""
    network = build(name, flavour)  # type: ignore[arg-type]
    for predictor, unit in predictors(network):
        predictor.copy_from(unit)
    if flavour == "pred":
        freeze_real_branches(network)
    for block in network.bottlenecks():
        block.fused = None if plain else FusedSettings(width, fixed=True, plain=own)
    return network


def step(
    network: Network, images: torch.Tensor, labels: torch.Tensor, own: bool
) -> tuple[float, float]:
    """Run one step without its update; return wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    training_mode(network)
    network.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=own):
        logits = network(images)
    functional.cross_entropy(logits.float(), labels).backward()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("network", nargs="?", default="mobilenetv2mod_c10")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--plain",
        action="store_true",
        help="plain PyTorch in place of the kernels (at full width alone)",
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    numba.set_num_threads(arguments.threads)
    versions = f"torch {torch.__version__}, python {platform.python_version()}"
    sys.stdout.write(f"{arguments.network}, {arguments.threads} threads, {versions}\n")
    sys.stdout.write("flavour  width  batch  pixels  layers   images/s  images/CPU-s\n")
    for flavour, width, batch, pixels, own in CASES:
        if arguments.plain and width < 1:
            continue
        torch.manual_seed(0)
        network = make(arguments.network, flavour, width, own, arguments.plain)
        images, labels = torch.randn(batch, 3, pixels, pixels), torch.randint(10, (batch,))
        if own:
            images = images.to(memory_format=torch.channels_last)
        step(network, images, labels, own)
        times = [step(network, images, labels, own) for _ in range(STEPS)]
        wall, cpu = (batch / median(column) for column in zip(*times, strict=True))
        layers = "bfloat16" if own else "plain" if arguments.plain else "kernel"
        sys.stdout.write(
            f"{flavour:8} {width:5.3f} {batch:6} {pixels:7}  {layers:8} {wall:7.1f} {cpu:13.1f}\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
