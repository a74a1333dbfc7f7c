"""What-if masks: traced, oracle, both, either, unclipped, all ones, random or with bits flipped."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from archonsim.errors import MaskError
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.workload import Workload
from archonsim.trace.mask import Mask

Policy = Literal["trace", "oracle", "hits", "either", "unclipped", "all", "random", "flip"]
FORMS = (
    "trace, oracle, hits, either, unclipped, all, random:P or flip:P with 0 <= P <= 1; or two of"
    " them, FIRST/SECOND, one for each ReLU"
)


@dataclass(frozen=True, slots=True)
class MaskPolicy:
    """Which masks a run uses.

    Attributes
    ----------
    policy : {"trace", "oracle", "hits", "either", "unclipped", "all", "random", "flip"}
        ``trace``: as predicted; ``oracle``: as the real pre-activations were; ``hits``: predicted
        and truly positive, so predicted without false alarms; ``either``: predicted or truly
        positive, so without misses; ``unclipped``: as predicted, but what a ReLU6 clips passes;
        ``all``: everything survives; ``random``: each activation survives with `probability`;
        ``flip``: each predicted bit is flipped with `probability`. What ``all``, ``random`` and
        ``flip`` make survive passes; what is clipped elsewhere is so as predicted, or as it truly
        is where ``either`` restores it.
    probability : float
    seed : int
        Of ``random`` and ``flip``.
    second : MaskPolicy or None
        Of a block's second ReLU, where it differs from the first one's.
    """

    policy: Policy = "trace"
    probability: float = 0.0
    seed: int = 0
    second: MaskPolicy | None = None

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> MaskPolicy:
        """Read ``"trace"``, ``"random:0.5"``, ``"oracle/trace"``, ...

        Raises
        ------
        MaskError
            The text is none of the known forms, or the seed is no whole number from 0 on.
        """
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise MaskError(f"--seed is {seed!r}; it must be a whole number, 0 or more")
        policies = [cls._parse_one(part, seed) for part in text.split("/")]
        if len(policies) == 1 and policies[0]:
            return policies[0]
        if len(policies) == 2 and policies[0] and policies[1]:
            return replace(policies[0], second=policies[1])
        raise MaskError(f"--masks is {text!r}; it must be {FORMS}")

    @classmethod
    def _parse_one(cls, text: str, seed: int) -> MaskPolicy | None:
        name, colon, number = text.partition(":")
        if name in ("trace", "oracle", "hits", "either", "unclipped", "all") and not colon:
            return cls(name, seed=seed)  # type: ignore[arg-type]
        if name in ("random", "flip") and colon:
            try:
                probability = float(number)
            except ValueError:
                return None
            if 0.0 <= probability <= 1.0:
                return cls(name, probability, seed)  # type: ignore[arg-type]
        return None

    def __str__(self) -> str:
        text = (
            f"{self.policy}:{self.probability:g}"
            if self.policy in ("random", "flip")
            else self.policy
        )
        return text if self.second is None else f"{text}/{self.second}"

    def masks(self, workload: Workload, block: Block, image: int) -> tuple[Mask, Mask]:
        """Return the two keep masks of one block for one image.

        ``random`` and ``flip`` depend on the seed, the block and the image only, not on the order
        of calls.

        Raises
        ------
        MaskError
            The workload has no masks.
        """
        both = self._both(workload, block, image)
        return (
            both if self.second is None else (both[0], self.second._both(workload, block, image)[1])
        )

    def activations(self, workload: Workload, layer: Layer, image: int) -> Mask | None:
        """Return which values of a layer's input are not zero; None where nothing tells.

        ``all`` and ``random`` need no trace, ``flip`` flips traced bits; what the network's first
        layer reads stays as traced. In blocks with predictors, the second and third layer read what
        the masks of any policy but ``trace`` keep.
        """
        trace = workload.trace
        traced = None if trace is None or not trace.images else trace.activations(layer.name, image)
        if self.policy == "trace" and self.second is None:
            return traced
        for block in workload.blocks():
            if block.predicted and layer.name in (one.name for one in block.layers[1:]):
                return self._within(workload, block, layer, image)
        computing = (one for one in workload.layers() if one.is_compute)
        first = next(computing, None)
        if first is None or layer.name == first.name:
            return traced
        size = (layer.in_channels, layer.in_h, layer.in_w)
        if self.policy == "all":
            return Mask.pack(np.ones(size, bool))
        seeds = [self.seed, image, *layer.name.encode()]
        if self.policy == "random":
            drawn = np.random.default_rng(seeds).random(size, np.float32)
            return Mask.pack(drawn < self.probability)
        if self.policy == "flip" and traced is not None:
            drawn = np.random.default_rng(seeds).random(size, np.float32)
            return Mask.pack(traced.unpack().astype(bool) ^ (drawn < self.probability))
        return traced

    def _within(self, workload: Workload, block: Block, layer: Layer, image: int) -> Mask:
        """Return what the second or third layer of a block reads, as the masks say."""
        keep1, keep2 = self.masks(workload, block, image)
        if layer.name == block.layers[2].name:
            return keep2
        if block.order == "pw-dw-pw":
            return keep1
        return Mask(keep1.packed[list(block.pw2_reads)], keep1.height, keep1.width)

    def _both(self, workload: Workload, block: Block, image: int) -> tuple[Mask, Mask]:
        sizes = [(layer.out_channels, layer.out_h, layer.out_w) for layer in block.layers[:2]]
        rng = np.random.default_rng([self.seed, block.index, image])
        if self.policy == "all":
            return Mask.pack(np.ones(sizes[0], bool)), Mask.pack(np.ones(sizes[1], bool))
        if self.policy == "random":
            first, second = (rng.random(size, np.float32) < self.probability for size in sizes)
            return Mask.pack(first), Mask.pack(second)
        if workload.trace is None or workload.images == 0:
            raise no_masks(workload)
        trace = workload.trace.block(block.name, image)
        if self.policy == "oracle":
            return trace.true1, trace.true2
        if self.policy == "hits":
            return trace.keep1 & trace.true1, trace.keep2 & trace.true2
        if self.policy == "either":
            return trace.keep1 | trace.true1, trace.keep2 | trace.true2
        if self.policy == "unclipped":
            return trace.keep1.passing(), trace.keep2.passing()
        if self.policy == "flip":
            one, two = (
                _flipped(mask, rng.random(size, np.float32) < self.probability)
                for mask, size in zip((trace.keep1, trace.keep2), sizes, strict=True)
            )
            return one, two
        return trace.keep1, trace.keep2


def _flipped(mask: Mask, flips: NDArray[np.bool_]) -> Mask:
    """Flip keep bits; what survives both before and after stays clipped if it was."""
    flipped = Mask.pack(mask.unpack().astype(bool) ^ flips)
    return flipped if mask.clip is None else replace(flipped, clip=mask.clip & flipped.packed)


def no_masks(workload: Workload) -> MaskError:
    """Return the error of a run that needs masks or weights which its workload lacks.

    The line names what is missing: everything but shapes, blocks that masks could be of, or images.
    """
    if workload.trace is None:
        return MaskError(
            f"workload {workload.name!r} has shapes only, and cycle fidelity needs weights and ReLU"
            " masks: export a trained network (archonsim export), make synthetic ones (archonsim"
            f" synthesize {workload.name} -o FILE), or use --fidelity ideal"
        )
    if not any(block.predicted for block in workload.blocks()):
        return MaskError(
            f"workload {workload.name!r} has weights, but no block that fuses, so there are no"
            " masks (archonsim export --list says why no block does)"
        )
    return MaskError(
        f"workload {workload.name!r} has weights, but masks of no image: export it with --images,"
        " or use what-if masks (--masks all or random:P)"
    )
