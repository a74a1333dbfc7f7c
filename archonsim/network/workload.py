"""A workload: layers and blocks of a network in order, their provenance, and optionally a trace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from archonsim.errors import WorkloadError
from archonsim.network.block import Block
from archonsim.network.layer import Layer

if TYPE_CHECKING:  # a workload carries its trace, if any; shapes themselves need none
    from archonsim.trace.tensors import Trace

Item = Layer | Block
MaskSource = Literal["none", "trained", "synthetic"]
Flavour = Literal["shape-only", "vanilla", "pruned", "pred"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a workload comes from: enough to judge how far its figures may be trusted.

    Attributes
    ----------
    network, dataset, flavour : str
    mask_source : {"none", "trained", "synthetic"}
        Never silent about masks that no network computed.
    test_accuracy : float or None
        Share of test images that the exported weights classify correctly, in the exported flavour.
    test_images : int
        Number of images behind `test_accuracy`.
    created_by : str
        Program and version that wrote the file.
    seed : int or None
    note : str
        Shown wherever the workload is: "interim: trained for 3 epochs", say.
    untrained : bool
        The weights are random, or nearly so: a network computed the masks, but not one that anybody
        would use.
    model, model_sha256 : str
        What was exported, and the digest of its weights (of a PyTorch module) or of its file
        (ONNX).
    split, image_indices, preprocessing : str
        Which images of `dataset` the masks are of (``"0-7,12"``), and what was done to their
        pixels.
    framework : str
        What computed the masks, with its version.
    command : str
        The exporter's command line, base names instead of paths.
    """

    network: str
    dataset: str = ""
    flavour: Flavour = "shape-only"
    mask_source: MaskSource = "none"
    test_accuracy: float | None = None
    test_images: int = 0
    created_by: str = ""
    seed: int | None = None
    note: str = ""
    untrained: bool = False
    model: str = ""
    model_sha256: str = ""
    split: str = ""
    image_indices: str = ""
    preprocessing: str = ""
    framework: str = ""
    command: str = ""

    @property
    def masks_from(self) -> str:
        """`mask_source`, or ``"untrained"`` for masks that an untrained network computed."""
        return mask_origin({"mask_source": self.mask_source, "untrained": self.untrained})


def mask_origin(provenance: Mapping[str, Any]) -> str:
    """Return :attr:`Provenance.masks_from` of a provenance that is plain data, as in results."""
    source = str(provenance["mask_source"])
    return "untrained" if source == "trained" and provenance.get("untrained") else source


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a trained network does, free of any machine.

    Attributes
    ----------
    name : str
        Network name or file name, as the user gave it.
    items : tuple of Layer or Block
        In order of execution.
    provenance : Provenance
    trace : Trace or None
        None for a shape-only workload.
    digest : str
        SHA-256 over shapes, weights and masks: two results with one digest come from one trace.
        Empty for shape-only.
    norm_params : int
        Parameters of a batch normalisation for each channel as the network's source counts them: 4
        in Keras, 2 in PyTorch.
    unexecuted_params : int
        Parameters that the network's source owns and no layer here has: of layers that no image
        passes, of normalisations without a convolution before them. Less those that several layers
        share, so it may be negative.
    """

    name: str
    items: tuple[Item, ...]
    provenance: Provenance
    trace: Trace | None = field(default=None, compare=False)
    digest: str = ""
    norm_params: int = 4
    unexecuted_params: int = 0

    def __post_init__(self) -> None:
        if self.norm_params < 0:
            raise WorkloadError(
                f"workload {self.name}: norm_params is {self.norm_params}; it must be at least 0"
            )
        if self.params < 0:
            raise WorkloadError(
                f"workload {self.name}: unexecuted_params is {self.unexecuted_params}, which leaves"
                f" {self.params} parameters in all; it must leave at least 0"
            )
        seen: set[str] = set()
        for layer in self.layers():
            if layer.name in seen:
                raise WorkloadError(
                    f"workload {self.name}: two layers are called {layer.name!r}; names must be"
                    " unique"
                )
            seen.add(layer.name)

    def layers(self) -> Iterator[Layer]:
        """All layers in order, those of blocks included."""
        for item in self.items:
            if isinstance(item, Block):
                yield from item.layers
            else:
                yield item

    def blocks(self) -> Iterator[Block]:
        """All bottleneck blocks in order."""
        return (item for item in self.items if isinstance(item, Block))

    @property
    def images(self) -> int:
        """Number of images with masks."""
        return 0 if self.trace is None else self.trace.images

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image, unfused."""
        return sum(layer.macs for layer in self.layers())

    def params_of(self, layer: Layer) -> int:
        """Parameters of one layer, as the network's source counts them."""
        return layer.weights + layer.out_channels * (
            layer.bias + self.norm_params * layer.batchnorm
        )

    @property
    def params(self) -> int:
        """Parameters, as the network's source counts them."""
        return self.unexecuted_params + sum(self.params_of(layer) for layer in self.layers())
