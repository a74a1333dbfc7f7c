"""Which activations survive a ReLU: one bit each, two where it has an upper end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archonsim.errors import WorkloadError

Bits = NDArray[np.uint8]

#: What :meth:`Mask.states` says of an activation.
DROPPED, PASSED, CLIPPED = 0, 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """Keep bits of one activation map.

    An activation is dropped, passed as it is, or, behind a ReLU6 and its like, clipped: a constant
    stands for it, which is the block's to know (:class:`archonsim.network.block.Block`).

    Attributes
    ----------
    packed : (M, ceil(H * W / 8)) uint8
        A channel's pixels in row-major order, most significant bit first; spare bits of the last
        byte are 0.
    height, width : int
        H and W, in pixels.
    clip : (M, ceil(H * W / 8)) uint8 or None
        Which of the kept activations are clipped, packed likewise; None where none can be.
    """

    packed: Bits
    height: int
    width: int
    clip: Bits | None = None

    def __post_init__(self) -> None:
        expected = self.packed_bytes(self.height, self.width)
        for plane in (self.packed,) if self.clip is None else (self.packed, self.clip):
            if (
                plane.ndim != 2
                or plane.dtype != np.uint8
                or plane.shape != (len(self.packed), expected)
            ):
                raise WorkloadError(
                    f"a mask of {self.height}x{self.width} pixels has {expected} bytes a channel"
                    f" (uint8), not shape {plane.shape} of {plane.dtype}"
                )

    @staticmethod
    def packed_bytes(height: int, width: int) -> int:
        """Bytes that one channel takes."""
        return -(-height * width // 8)

    @classmethod
    def pack(cls, keep: NDArray[np.bool_], clip: NDArray[np.bool_] | None = None) -> Mask:
        """Pack ``keep : (M, H, W) bool``; `clip` says which of the kept ones are clipped."""
        channels, height, width = keep.shape
        planes = (keep,) if clip is None else (keep, clip & keep)
        packed = (np.packbits(plane.reshape(channels, -1), axis=1) for plane in planes)
        return cls(next(packed), height, width, next(packed, None))

    @classmethod
    def of(cls, states: Bits, *, clips: bool) -> Mask:
        """Pack what :meth:`states` returns, (M, H, W); without `clips` all that is kept passes."""
        return cls.pack(states > 0, states == CLIPPED if clips else None)

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
        return self._unpacked(self.packed)

    def _unpacked(self, plane: Bits) -> Bits:
        flat = np.unpackbits(plane, axis=1, count=self.height * self.width)
        return flat.reshape(self.channels, self.height, self.width)

    def states(self) -> Bits:
        """Return ``(M, H, W) uint8``: 0 where dropped, 1 where passed, 2 where clipped."""
        return self.unpack() if self.clip is None else self.unpack() + self._unpacked(self.clip)

    def planes(self) -> tuple[Bits, Bits]:
        """Return which activations pass and which are clipped, packed as `packed` is."""
        if self.clip is None:
            return self.packed, np.zeros_like(self.packed)
        return self.packed & ~self.clip, self.clip

    def passing(self) -> Mask:
        """Return a mask that passes what this one clips, and else does as it does."""
        return Mask(self.packed, self.height, self.width)

    def __and__(self, other: Mask) -> Mask:
        """Keep what both keep, clipped where this one clips."""
        clip = None if self.clip is None else self.clip & other.packed
        return Mask(self.packed & other.packed, self.height, self.width, clip)

    def __or__(self, other: Mask) -> Mask:
        """Keep what either keeps, clipped where the one that keeps it clips, this one first."""
        clip = self.clip
        if other.clip is not None:
            more = other.clip & ~self.packed
            clip = more if clip is None else clip | more
        return Mask(self.packed | other.packed, self.height, self.width, clip)

    def count(self) -> int:
        """Return how many activations survive."""
        return int(np.bitwise_count(self.packed).sum())

    def clipped(self) -> int:
        """Return how many of them are clipped."""
        return 0 if self.clip is None else int(np.bitwise_count(self.clip).sum())

    def density(self) -> float:
        """Return the share of activations that survive."""
        return self.count() / self.bits
