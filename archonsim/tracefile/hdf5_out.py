"""Groups, attributes and datasets written so that equal content gives equal bytes."""

from __future__ import annotations

from collections.abc import Mapping

import h5py
import numpy as np
from numpy.typing import NDArray

#: Attributes stay in a group's header up to this many; HDF5's denser form costs a kilobyte or two a
#: group.
_ATTRIBUTES_IN_HEADER = 64


def make_group(parent: h5py.Group, name: str) -> h5py.Group:
    """Create a group without time stamps."""
    properties = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    properties.set_attr_phase_change(_ATTRIBUTES_IN_HEADER, 0)
    properties.set_obj_track_times(False)
    return h5py.Group(h5py.h5g.create(parent.id, name.encode(), gcpl=properties))


def put_attributes(node: h5py.Group, values: Mapping[str, object]) -> None:
    """Write attributes, except None.

    Text is fixed-length UTF-8: HDF5 keeps no checksum of text of variable length.
    """
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, str) or (
            isinstance(value, list) and all(isinstance(one, str) for one in value)
        ):
            put_text(node, name, value)
        else:
            node.attrs[name] = np.bool_(value) if isinstance(value, bool) else np.asarray(value)


def put_text(node: h5py.Group, name: str, value: str | list[str]) -> None:
    """Write text, or a list of texts, as one attribute."""
    encoded = np.array(
        [one.encode() for one in ([value] if isinstance(value, str) else value)], dtype=np.bytes_
    )
    kind = h5py.string_dtype("utf-8", max(encoded.itemsize, 1))
    node.attrs.create(name, encoded[0] if isinstance(value, str) else encoded, dtype=kind)


def make_dataset(
    group: h5py.Group,
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[np.generic],
    *,
    chunk: tuple[int, ...],
    shuffle: bool = False,
) -> h5py.Dataset:
    """Create a compressed dataset whose chunks carry checksums."""
    return group.create_dataset(
        name,
        shape,
        dtype,
        chunks=chunk,
        compression="gzip",
        compression_opts=6,
        shuffle=shuffle,
        fletcher32=True,
        track_times=False,
    )


def narrow(array: NDArray[np.float32]) -> NDArray[np.floating]:
    """Return `array` as float16 if every value survives that, else as it is."""
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    return (
        half
        if np.array_equal(half.astype(np.float32).view(np.uint32), array.view(np.uint32))
        else array
    )


def put_array(group: h5py.Group, name: str, array: NDArray[np.generic]) -> None:
    """Write a whole array as one chunk."""
    make_dataset(group, name, array.shape, array.dtype, chunk=array.shape)[...] = array


def put_floats(group: h5py.Group, name: str, array: NDArray[np.float32]) -> None:
    """Write a float32 array, as float16 where that loses nothing."""
    put_array(group, name, narrow(np.ascontiguousarray(array)))


def put_images(group: h5py.Group, name: str, maps: NDArray[np.float32]) -> None:
    """Write ``maps : (images, C, H, W)``, one chunk an image, as float16 if that loses nothing."""
    stored = narrow(maps)
    make_dataset(group, name, maps.shape, stored.dtype, chunk=(1, *maps.shape[1:]), shuffle=True)[
        ...
    ] = stored
