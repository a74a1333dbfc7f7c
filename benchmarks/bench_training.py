"""How fast the CPU kernels train: images a second of whole steps of one network.

Run with ``python -m benchmarks.bench_training [NETWORK] [--threads N] [--plain]``; ``--plain``
leaves the kernels out. A step is forward and backward, the median of three after one that compiles;
CPU seconds stand beside wall ones for machines that others use, too. No data set is needed: images
are random.
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
#: (flavour, share of the wide channels, images of a step, pixels a side)
CASES = (
    ("vanilla", 0.125, 128, 16),
    ("vanilla", 0.125, 64, 32),
    ("vanilla", 0.25, 64, 32),
    ("vanilla", 1.0, 64, 32),
    ("pred", 1.0, 64, 32),
)


def make(name: str, flavour: str, width: float, plain: bool) -> Network:
    """Return the network, ready to train."""
    network = build(name, flavour)  # type: ignore[arg-type]
    for predictor, unit in predictors(network):
        predictor.copy_from(unit)
    if flavour == "pred":
        freeze_real_branches(network)
    for block in network.bottlenecks():
        block.fused = None if plain else FusedSettings(width, fixed=True)
    return network


def step(network: Network, images: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """Run one step without its update; return wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    training_mode(network)
    network.zero_grad(set_to_none=True)
    functional.cross_entropy(network(images), labels).backward()
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
    sys.stdout.write("flavour  width  batch  pixels  images/s  images/CPU-s\n")
    for flavour, width, batch, pixels in CASES:
        if arguments.plain and width < 1:
            continue
        torch.manual_seed(0)
        network = make(arguments.network, flavour, width, arguments.plain)
        images, labels = torch.randn(batch, 3, pixels, pixels), torch.randint(10, (batch,))
        step(network, images, labels)
        times = [step(network, images, labels) for _ in range(STEPS)]
        wall, cpu = (batch / median(column) for column in zip(*times, strict=True))
        sys.stdout.write(f"{flavour:8} {width:5.3f} {batch:6} {pixels:7} {wall:9.1f} {cpu:13.1f}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
