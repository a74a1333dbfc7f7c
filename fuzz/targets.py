"""What is fuzzed: one function for each kind of file, and small files to start from.

A target reads a file that it is given and asks what the program would ask next. Allowed are a
clean result and one of the program's own errors of one line; anything else is a find: another
exception, a figure that cannot be (negative, not a number, an array busier than all of its PEs),
more than `SECONDS` or `BYTES`.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import archonsim
from archonsim.errors import UserError
from archonsim.export.model_file import model_kind
from archonsim.machines.registry import machine, machine_spec
from archonsim.network.networks import network
from archonsim.network.scalesim_csv import read_topology
from archonsim.network.table import read_network
from archonsim.network.workload import Workload
from archonsim.result.report import Report
from archonsim.result.stored import read_any, read_waterfall
from archonsim.sweeps.question import read_question
from archonsim.trace.synthetic import synthesize
from archonsim.trace.synthetic_clips import with_clips
from archonsim.tracefile.check import read_images, read_weights
from archonsim.tracefile.reader import open_workload
from archonsim.tracefile.writer import write_workload

#: Most time and memory that an input may take before it is refused or read.
SECONDS, BYTES = 10, 2 << 30
HERE = Path(__file__).parent
#: Work that a machine is asked for with what was read: more would test patience, not readers.
MOST_MACS, MOST_LAYERS, MOST_IMAGES, MOST_VALUES = 10**9, 64, 4, 3 * 64 * 64


class FindError(AssertionError):
    """A figure that cannot be, or a message that is not one line."""


@dataclass(frozen=True, slots=True)
class Target:
    """One kind of file.

    Attributes
    ----------
    suffix : str
        Of the files.
    read : function of a path
        Reads one and asks what comes next.
    seeds : function of nothing to contents
        Small files to start from.
    """

    suffix: str
    read: Callable[[Path], None]
    seeds: Callable[[], Iterable[bytes]]


def attempt(target: Target, content: bytes, folder: Path) -> bool:
    """Feed one input to a target; return whether it was read.

    Raises
    ------
    Exception
        A find.
    """
    path = folder / f"input{target.suffix}"
    path.write_bytes(content)
    try:
        target.read(path)
    except UserError as error:
        # Several faults are a line each.
        if not all(line.startswith(str(path)) for line in str(error).split("\n")):
            raise FindError(f"a line that does not name the file: {error!s}") from error
        return False
    return True


def _plausible(report: Report) -> None:
    """Raise for a figure that cannot be."""
    for layer in report.layers:
        figures = (
            layer.cycles,
            layer.compute,
            layer.macs,
            layer.utilization,
            *layer.stalls.values(),
        )
        if not all(math.isfinite(one) and one >= 0 for one in figures):
            raise FindError(f"{layer.name}: {figures}")
        if layer.utilization > 1:
            raise FindError(f"{layer.name}: utilization {layer.utilization}")


def _run(work: Workload) -> None:
    """Run what was read on two machines, where it is small."""
    layers = list(work.layers())
    if len(layers) > MOST_LAYERS or sum(layer.macs for layer in layers) > MOST_MACS:
        return
    for arch in ("systolic", "dense"):
        _plausible(archonsim.run(arch, work, fidelity="ideal").report)


def _trace(path: Path) -> None:
    work = open_workload(path)
    if work.trace is not None:
        read_weights(work, work.trace)
        if work.images <= MOST_IMAGES:
            read_images(work, work.trace, range(work.images))
    _run(work)


def _trace_seeds() -> Iterable[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seed.h5"
        work = read_network(HERE / "seeds" / "network.toml")
        made = synthesize(work, seed=1, images=1)
        for one in (made, with_clips(*made, 0.2)):
            write_workload(path, *one)
            yield path.read_bytes()


def _description(path: Path) -> None:
    machine_spec(machine("archon"), path)


def _description_seeds() -> Iterable[bytes]:
    yield machine("archon").preset.encode()
    yield b'technology = "x.toml"\n[pe]\nrows = 2\nadders = "many"\n[dram]\nmodel = "banks"\n'


def _sweep(path: Path) -> None:
    read_question(path)


def _results(path: Path) -> None:
    try:
        read_any(path)
    except UserError:
        read_waterfall(path)


def _result_seeds() -> Iterable[bytes]:
    work = network("fusionet_digits")
    run = archonsim.run("dense", work, fidelity="ideal")
    yield json.dumps(run.report.to_dict()).encode()
    both = archonsim.compare(["dense", "systolic"], [work], fidelity="ideal")
    yield json.dumps(both.comparison.to_dict()).encode()


def _model(path: Path) -> None:
    """Open a network's file as ``export`` does, on an image of zeros."""
    kind = model_kind(path)
    size = kind.size(path) or (3, 8, 8)
    if math.prod(size) <= MOST_VALUES:
        kind.source(path, np.zeros((1, *size), np.float32), "exact")


def _files(pattern: str) -> Callable[[], Iterable[bytes]]:
    return lambda: [path.read_bytes() for path in sorted((HERE / "seeds").glob(pattern))]


TARGETS: dict[str, Target] = {
    "trace": Target(".h5", _trace, _trace_seeds),
    "description": Target(".toml", _description, _description_seeds),
    "network": Target(".toml", lambda path: _run(read_network(path)), _files("network*.toml")),
    "topology": Target(".csv", lambda path: _run(read_topology(path)), _files("topology*.csv")),
    "sweep": Target(".toml", _sweep, _files("sweep*.toml")),
    "onnx": Target(".onnx", _model, _files("*.onnx")),
    "tflite": Target(".tflite", _model, _files("*.tflite")),
    "keras": Target(".keras", _model, _files("*.keras")),
    "keras_h5": Target(".h5", _model, _files("*.h5")),
    "result": Target(".json", _results, _result_seeds),
}
