"""From a trained network, its checkpoint and some images to a workload."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

import archonsim
from archonsim.errors import WorkloadError
from archonsim.export.calls import first_line
from archonsim.export.datasets import NORMALISATION, load_dataset
from archonsim.export.images import Images, as_images, number_ranges
from archonsim.export.source import load_state, state_sha256
from archonsim.export.tap import check_network, trace_network
from archonsim.network.networks import network as table_network
from archonsim.network.workload import Flavour, Provenance, Workload
from archonsim.zoo.network import Network, round_weights


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what a checkpoint says about itself, and its tensors.

    Raises
    ------
    WorkloadError
        The file is missing, or is no checkpoint of ``workloads.train``.
    """
    if not path.is_file():
        raise WorkloadError(
            f"{path}: no such file; it must be a checkpoint, e.g. pred.pt of workloads.train"
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        return dict(content["meta"]), dict(content["model"])
    except Exception as error:
        raise WorkloadError(
            f"{path}: not a checkpoint of workloads.train ({type(error).__name__}:"
            f" {first_line(error)})"
        ) from error


def load_network(name: str, checkpoint: Path) -> tuple[Network, dict[str, Any]]:
    """Return a network with a checkpoint's weights, rounded to 16-bit words, and its metadata.

    Raises
    ------
    WorkloadError
        The checkpoint is of another network, or its tensors do not fit.
    """
    meta, state = read_checkpoint(checkpoint)
    if meta.get("network") != name or meta.get("flavour") not in get_args(Flavour):
        raise WorkloadError(
            f"{checkpoint}: holds {meta.get('network')!r}, flavour {meta.get('flavour')!r}; asked"
            f" for {name!r}"
        )
    network = Network(table_network(name), meta["flavour"])
    load_state(network, state, checkpoint)
    round_weights(network)
    network.eval()
    return network, meta


def test_images(dataset: str, root: Path | None, count: int, first: int) -> Images:
    """Return `count` images of a data set's test split, normalised, ``(count, C, H, W)``."""
    images, _ = load_dataset(dataset, "test", root)
    if not 0 <= first + count <= len(images):
        raise WorkloadError(
            f"{count} images from number {first} on were asked for; the test split of {dataset} has"
            f" {len(images)}"
        )
    mean, deviation = NORMALISATION[dataset]
    pixels = (torch.from_numpy(images[first : first + count]).float() - mean) / deviation
    return Images(
        pixels=pixels.numpy(),
        indices=tuple(range(first, first + count)),
        dataset=dataset,
        split="test",
        preprocessing=(
            f"minus mean {mean:g}, divided by std {deviation:g}; pixels"
            f" 0..{'16' if dataset == 'digits' else '255'}"
        ),
    )


def export_network(
    name: str,
    checkpoint: Path,
    images: Images | Tensor,
    *,
    command: str = "",
    check: bool = True,
    activations: bool = False,
) -> Workload:
    """Trace a trained network of ours.

    Parameters
    ----------
    name : str
        A registered network, e.g. ``"fusionet_c10"``.
    checkpoint : Path
        A finished flavour as ``workloads.train`` writes it. Vanilla and pruned ones export their
        weights alone, unless `activations` are asked for.
    images : Images, or (N, C, H, W) float32
        Normalised as in training; masks and maps are those of these images.
    command : str
        For the file's provenance.
    check : bool
        Compare what would be stored with the network; see :mod:`~archonsim.export.self_check`.
    activations : bool
        Store which inputs of layers outside of predicted blocks are not zero.

    Returns
    -------
    Workload
        With a :class:`~archonsim.trace.tensors.MemoryTrace`; its accuracy is the one measured when
        training ended, with the weights that are exported.
    """
    network, meta = load_network(name, checkpoint)
    given = images if isinstance(images, Images) else as_images(images.numpy(), meta["network"])
    given = given if activations or meta["flavour"] == "pred" else given.part(0, 0)
    trace = trace_network(network, torch.from_numpy(given.pixels), activations=activations)
    shapes = network.workload
    if check:
        check_network(network, trace, torch.from_numpy(given.pixels[:1]))
    note = str(meta.get("note", ""))
    provenance = Provenance(
        network=name,
        dataset=shapes.provenance.dataset,
        flavour=meta["flavour"],
        mask_source="trained" if trace.images else "none",
        test_accuracy=meta.get("test_accuracy"),
        test_images=int(meta.get("test_images", 0)),
        created_by=f"archonsim {archonsim.__version__}",
        seed=meta.get("seed"),
        note=note if check else "; ".join(filter(None, (note, "NOT CHECKED against the network"))),
        model=f"{name} with {checkpoint.name}",
        model_sha256=state_sha256(network.state_dict()),
        split=given.split,
        image_indices=number_ranges(given.indices),
        preprocessing=given.preprocessing,
        framework=f"torch {torch.__version__}",
        command=command,
    )
    return Workload(name=name, items=shapes.items, provenance=provenance, trace=trace)
