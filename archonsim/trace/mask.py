"""Which activations survive a ReLU: one bit each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archonsim.errors import WorkloadError

Bits = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """Keep bits of one activation map.

    Attributes
    ----------
    packed : (M, ceil(H * W / 8)) uint8
        A channel's pixels in row-major order, most significant bit first; spare bits of the last
        byte are 0.
    height, width : int
        H and W, in pixels.
    """

    packed: Bits
    height: int
    width: int

    def __post_init__(self) -> None:
        expected = self.packed_bytes(self.height, self.width)
        if (
            self.packed.ndim != 2
            or self.packed.dtype != np.uint8
            or self.packed.shape[1] != expected
        ):
            raise WorkloadError(
                f"a mask of {self.height}x{self.width} pixels has {expected} bytes a channel"
                f" (uint8), not shape {self.packed.shape} of {self.packed.dtype}"
            )

    @staticmethod
    def packed_bytes(height: int, width: int) -> int:
        """Bytes that one channel takes."""
        return -(-height * width // 8)

    @classmethod
    def pack(cls, keep: NDArray[np.bool_]) -> Mask:
        """Pack ``keep : (M, H, W) bool``."""
        channels, height, width = keep.shape
        return cls(np.packbits(keep.reshape(channels, -1), axis=1), height, width)

    @property
    def channels(self) -> int:
        """Number of channels (M)."""
        return int(self.packed.shape[0])

    @property
    def bits(self) -> int:
        """Number of activations that the mask covers."""
        return self.channels * self.height * self.width

    def unpack(self) -> Bits:
        """Return the keep bits as ``(M, H, W) uint8`` of 0 and 1."""
        flat = np.unpackbits(self.packed, axis=1, count=self.height * self.width)
        return flat.reshape(self.channels, self.height, self.width)

    def __and__(self, other: Mask) -> Mask:
        """Keep what both keep."""
        return Mask(self.packed & other.packed, self.height, self.width)

    def __or__(self, other: Mask) -> Mask:
        """Keep what either keeps."""
        return Mask(self.packed | other.packed, self.height, self.width)

    def count(self) -> int:
        """Return how many activations survive."""
        return int(np.bitwise_count(self.packed).sum())

    def density(self) -> float:
        """Return the share of activations that survive."""
        return self.count() / self.bits
