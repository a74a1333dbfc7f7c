"""Keras models in ``.h5`` and ``.keras`` files as plain layers: JSON and HDF5, and no Keras.

Nothing in such a file is run: configurations are read, lambdas and custom layers are refused by
name when they are translated. Datasets are compared with the file's size before they are read.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from archonsim.errors import WorkloadError
from archonsim.export.calls import first_line
from archonsim.trace.tensors import Floats
from archonsim.tracefile.hdf5_probe import MOST_SECONDS, ends
from archonsim.user_files import check_regular

#: Bytes of the largest file, or member of an archive, that is read (own decision).
LARGEST_FILE: Final = 1 << 30
#: Bytes of the largest configuration in an archive (own decision).
_LARGEST_CONFIG: Final = 1 << 26


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KerasLayer:
    """A layer of the model.

    Attributes
    ----------
    name, kind : str
        The kind is the class's name.
    config : mapping
    inputs : tuple of str
        Layers that it reads.
    weights : tuple of float32 array
        In Keras's order.
    """

    name: str
    kind: str
    config: Mapping[str, Any]
    inputs: tuple[str, ...]
    weights: tuple[Floats, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KerasModel:
    """What a file holds.

    Attributes
    ----------
    version : str
        Of the Keras that wrote it.
    layers : tuple of KerasLayer
    outputs : tuple of str
    """

    version: str
    layers: tuple[KerasLayer, ...]
    outputs: tuple[str, ...]


class _RefusedError(Exception):
    """Says what is wrong with a file."""


def read_keras(path: Path) -> KerasModel:
    """Read a Keras model.

    Raises
    ------
    WorkloadError
        It is missing, too large, truncated, or no such file; it holds weights without their
        network, or one that is not finite.
    """
    size = check_regular(path, WorkloadError, "it must be a Keras model")
    if size > LARGEST_FILE:
        raise WorkloadError(f"{path}: has {size} bytes; files of up to {LARGEST_FILE} are read")
    try:
        return _read_archive(path) if path.suffix.lower() == ".keras" else _read_hdf5(path)
    except _RefusedError as error:
        raise WorkloadError(f"{path}: {error}") from error
    except Exception as error:  # what is damaged raises almost anything
        raise WorkloadError(
            f"{path}: not a whole Keras model ({type(error).__name__}: {first_line(error)})"
        ) from error


def _read_archive(path: Path) -> KerasModel:
    with zipfile.ZipFile(path) as archive:
        config = json.loads(_member(archive, "config.json", _LARGEST_CONFIG))
        about = json.loads(_member(archive, "metadata.json", _LARGEST_CONFIG))
        stored = _member(archive, "model.weights.h5", LARGEST_FILE)
    _check_ends(stored)
    with h5py.File(io.BytesIO(stored), "r") as file:
        weights = _Weights(file, len(stored))
        return _model(config, str(about.get("keras_version", "")), weights.by_class)


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    about = archive.getinfo(name)
    if about.file_size > most:
        raise _RefusedError(f"{name} has {about.file_size} bytes; up to {most} are read")
    return archive.read(name)


def _check_ends(stored: bytes) -> None:
    if not ends(stored):
        raise _RefusedError(f"damaged: reading it did not end within {MOST_SECONDS:.0f} s")


def _read_hdf5(path: Path) -> KerasModel:
    _check_ends(path.read_bytes())
    with h5py.File(path, "r", locking=False) as file:
        config = file.attrs.get("model_config")
        if config is None:
            what = (
                "weights without their network: save the whole model"
                if "layer_names" in file.attrs
                else "no Keras model: attribute model_config is missing"
            )
            raise _RefusedError(f"holds {what}")
        weights = _Weights(file, path.stat().st_size)
        version = file.attrs.get("keras_version", "")
        return _model(json.loads(_text(config)), _text(version), weights.by_name)


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


class _Weights:
    """Reads the weights of layers, none larger than the file."""

    def __init__(self, file: h5py.File, size: int) -> None:
        self._file, self._left = file, size
        self._taken: dict[str, int] = {}

    def by_name(self, name: str, kind: str) -> Iterator[Floats]:
        """Yield a layer's weights of an ``.h5`` file, which names them."""
        groups: Any = self._file["model_weights"]
        if name in groups:
            about: Any = groups[name].attrs
            for one in about.get("weight_names", ()):
                yield self._values(groups[name][_text(one)], f"{name}: {_text(one)}")

    def by_class(self, name: str, kind: str) -> Iterator[Floats]:
        """Yield a layer's weights of a ``.keras`` file, which counts layers of a class."""
        short = _snake(kind)
        count = self._taken.get(short, -1) + 1
        self._taken[short] = count
        group: Any = self._file["layers"].get(f"{short}_{count}" if count else short)
        stored: Any = None if group is None else group.get("vars")
        for place in range(0 if stored is None else len(stored)):
            yield self._values(stored[str(place)], f"{name}: variable {place}")

    def _values(self, stored: Any, what: str) -> Floats:
        if not isinstance(stored, h5py.Dataset) or stored.is_virtual or stored.external:
            raise _RefusedError(f"{what} is no dataset of this file")
        self._left -= math.prod(stored.shape)
        if self._left < 0:
            raise _RefusedError(f"{what} has shape {stored.shape}, more than the file can hold")
        if stored.dtype.kind not in "fiu":
            raise _RefusedError(f"{what} has type {stored.dtype}; weights are numbers")
        values: Floats = np.asarray(stored[()], np.float32)
        if not np.isfinite(values).all():
            place = tuple(int(axis[0]) for axis in np.nonzero(~np.isfinite(values)))
            raise _RefusedError(f"{what}: value at {place} is {values[place]}; all must be finite")
        return values


def _snake(name: str) -> str:
    """Write a class's name as Keras does in its files: ``Conv2D`` as ``conv2d``."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _model(config: Any, version: str, weights: Any) -> KerasModel:
    kind, inner = config["class_name"], config["config"]
    if kind not in ("Functional", "Model", "Sequential"):
        raise _RefusedError(
            f"holds a model of class {kind}; Functional and Sequential ones are read"
        )
    listed = inner["layers"] if isinstance(inner, dict) else inner
    layers: list[KerasLayer] = []
    for one in listed:
        about = one["config"]
        name = str(one.get("name", about["name"]))
        inputs: tuple[str, ...]
        if kind == "Sequential":
            if not layers and one["class_name"] != "InputLayer":
                shape = about.get("batch_shape", about.get("batch_input_shape"))
                shape = shape or inner.get("build_input_shape")
                first = {"batch_shape": shape}
                layers.append(
                    KerasLayer(name="input", kind="InputLayer", config=first, inputs=(), weights=())
                )
            inputs = (layers[-1].name,) if layers else ()
        else:
            inputs = _inputs(one["inbound_nodes"], name)
        stored = tuple(weights(name, str(one["class_name"])))
        layers.append(
            KerasLayer(
                name=name, kind=str(one["class_name"]), config=about, inputs=inputs, weights=stored
            )
        )
    outputs = (layers[-1].name,) if kind == "Sequential" else _places(inner["output_layers"])
    return KerasModel(version=version, layers=tuple(layers), outputs=outputs)


def _places(value: Any) -> tuple[str, ...]:
    """Return the layers' names in ``["name", 0, 0]``, or in a list of such."""
    if isinstance(value, list) and len(value) >= 3 and isinstance(value[0], str):
        if any(number != 0 for number in value[1:3]):
            raise _RefusedError(f"{value[0]}: is called several times, or makes several values")
        return (value[0],)
    items = value.values() if isinstance(value, dict) else value
    return tuple(name for one in items for name in _places(one))


def _inputs(nodes: Any, name: str) -> tuple[str, ...]:
    """Return the layers that a layer reads, as Keras 2 or 3 writes them."""
    if not nodes:
        return ()
    if len(nodes) != 1:
        raise _RefusedError(f"{name}: is called {len(nodes)} times; each layer is called once")
    (node,) = nodes
    return _histories(node["args"]) if isinstance(node, dict) else _places(node)


def _histories(value: Any) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(name for one in value for name in _histories(one))
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        return _places(value["config"]["keras_history"])
    raise _RefusedError("a layer is called with something else than other layers' values")
