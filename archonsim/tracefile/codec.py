"""How masks are stored.

As differences from a reference that the file's other content gives (see ``schema``).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from archonsim.network.block import Block
from archonsim.trace.algebra import predict, real_signs
from archonsim.trace.mask import Bits, Mask
from archonsim.trace.tensors import BlockTrace, Floats, LayerTensors, PredictorTensors
from archonsim.tracefile.check import mask_layers, plane
from archonsim.tracefile.schema import ENCODINGS, Encoding, MaskName

#: The predicted plane that a true one may be stored against.
_PREDICTED: Mapping[MaskName, MaskName] = {
    "true1": "keep1",
    "true2": "keep2",
    "true_clip1": "clip1",
    "true_clip2": "clip2",
}


@dataclass(frozen=True)
class BlockTensors:
    """A block's weights in order of execution, and its predictors if it has any."""

    block: Block
    layers: tuple[LayerTensors, LayerTensors, LayerTensors]
    predictors: tuple[PredictorTensors, PredictorTensors] | None


class References:
    """The masks that one image's masks are stored against, each computed when first asked for.

    Parameters
    ----------
    tensors : BlockTensors
    x : (C, H, W) float32
        The block's input.
    """

    def __init__(self, tensors: BlockTensors, x: Floats) -> None:
        self._tensors, self._x = tensors, x
        self._signs: tuple[Mask, Mask] | None = None

    @cached_property
    def _predicted(self) -> tuple[Mask, Mask]:
        assert self._tensors.predictors is not None
        return predict(self._tensors.block, self._tensors.predictors, self._x)

    def _weights(self, known: Mapping[MaskName, Bits]) -> tuple[Mask, Mask]:
        if self._signs is None:
            first = self._tensors.block.layers[0]
            keep = Mask(known["keep1"], first.out_h, first.out_w, known.get("clip1"))
            self._signs = real_signs(self._tensors.block, self._tensors.layers, keep, self._x)
        return self._signs

    def packed(self, name: MaskName, encoding: Encoding, known: Mapping[MaskName, Bits]) -> Bits:
        """Return the reference of one mask.

        Parameters
        ----------
        known : mask name -> (M, bytes) uint8
            keep1 and keep2, and planes of what they clip, where `name` is one of the others.
        """
        second = name.endswith("2")
        if encoding == "xor-keep":
            return known[_PREDICTED[name]]
        if encoding == "xor-predictor":
            return self._predicted[second].packed
        if encoding == "xor-weights":
            return self._weights(known)[second].packed
        return np.zeros(1, np.uint8)


def encodings_of(name: MaskName, tensors: BlockTensors) -> tuple[Encoding, ...]:
    """Encodings that a block's mask can be stored in."""
    return tuple(
        one for one in ENCODINGS[name] if one != "xor-predictor" or tensors.predictors is not None
    )


def choose_encodings(tensors: BlockTensors, trace: BlockTrace) -> dict[MaskName, Encoding]:
    """Return for each mask the encoding that compresses best on one image; the first of equals."""
    references = References(tensors, trace.input)
    known = _planes(tensors.block, trace)

    def size(name: MaskName, encoding: Encoding) -> int:
        return len(
            zlib.compress((known[name] ^ references.packed(name, encoding, known)).tobytes(), 1)
        )

    return {
        name: min(encodings_of(name, tensors), key=lambda one: size(name, one)) for name in known
    }


def _planes(block: Block, trace: BlockTrace) -> dict[MaskName, Bits]:
    """Return all planes of a block's masks."""
    return {name: plane(trace, name) for name in mask_layers(block)}


def encode(
    tensors: BlockTensors, trace: BlockTrace, encodings: Mapping[MaskName, Encoding]
) -> dict[MaskName, Bits]:
    """Return the bits to store for one image: (M, bytes) uint8 each."""
    references = References(tensors, trace.input)
    known = _planes(tensors.block, trace)
    return {
        name: np.bitwise_xor(bits, references.packed(name, encodings[name], known))
        for name, bits in known.items()
    }


def decode(
    tensors: BlockTensors,
    x: Floats,
    stored: Mapping[MaskName, Bits],
    encodings: Mapping[MaskName, Encoding],
) -> dict[MaskName, Bits]:
    """Return the masks of one image, packed: the inverse of :func:`encode`."""
    references = References(tensors, x)
    known: dict[MaskName, Bits] = {}
    for name in mask_layers(tensors.block):
        known[name] = np.bitwise_xor(stored[name], references.packed(name, encodings[name], known))
    return known
