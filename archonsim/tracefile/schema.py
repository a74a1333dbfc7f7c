"""The workload file: HDF5, readable by any HDF5 tool with its built-in filters.

Layout (version 1.3, or 2.0 where a block has `clips` or `prediction`)::

    /                  filetype, version, created_by, network, dataset, flavour, mask_source, note,
                       images, test_images, norm_params, unexecuted_params, [test_accuracy], [seed],
                       items, digest, and since 1.1, of an export: [untrained], [model],
                       [model_sha256], [split], [image_indices], [preprocessing], [framework],
                       [command]; since 1.2, [digest_with_inputs]; since 1.3, [digest_with_values]
    /layers            units: JSON, unit of each attribute below
    /layers/<name>     the fields of Layer, sha256; [sparsity] (N, M) of N:M sparse shapes
        weight         (O, C/G, R, S)          as used; zeros are the pruning
        scale, shift   (O,)                    y = scale * conv(x) + shift
        input_bits     (images, C, bytes) uint8: which values of the layer's input are not zero;
                       attributes height, width; since 1.2, optional, for any of the layers
        input_sha256   (images,)               digest of each image's input_bits
        input_values   (images, C, H, W)       what the layer reads, rounded to float16; since 1.3,
                                               optional, for layers in no block
        values_sha256  (images,)               digest of each image's input_values
    /blocks/<name>     index, pw1, dw, pw2 (names of layers), order, residual, shuffle, predicted,
                       [predictors_sha256]; since 2.0 [clips] (2,): upper ends of the two ReLUs, 0
                       for one whose masks have two values, and [prediction]: JSON, what a
                       predictor that is not ternary declares (archonsim.network.prediction)
        predictor1/    ternary (O, C/G, R, S) int8, scale (O,), shift (O,); attributes step, low,
                       high
        predictor2/    likewise; see PredictorTensors for the arithmetic
        keep1, keep2   (images, M, bytes) uint8: predicted masks; attributes encoding, height,
                       width
        true1, true2   (images, M, bytes) uint8: signs of the real pre-activations
        clip1, clip2   (images, M, bytes) uint8: which of keep1 and keep2 are clipped; since 2.0,
                       for a ReLU with an upper end in `clips`
        true_clip1, true_clip2   likewise: pre-activations above the upper end
        input, output  (images, C, H, W)       an input equal to the previous block's output is
                                               the same dataset
        sha256         (images,)               digest of each image's masks and maps

`items` names layers and blocks in order of execution (``"layers/head_conv"``, ``"blocks/b1"``).
Attributes in brackets are left out when unknown. A ``%`` or ``/`` within a name is written ``%25``
or ``%2F`` in its group's name. Floating point is stored as float16 where every value of a dataset
survives that, else as float32. A shape-only workload has neither datasets nor digests; a block
without masks (or predictors) lacks those datasets.

`digest` is over everything but `input_bits` and `input_values`, so that readers of 1.1 find what
they know unchanged; a file with `input_bits` has a second digest, over those, too, and one with
`input_values` a third one over all. The last one is the workload's.

Where an activation is clipped, the upper end of its ReLU stands for it, whatever is computed from
the masks; a reader that does not know of it computes something else. So such a file has another
major version, and so has one whose blocks have another `prediction` than ternary ones, which costs
something else. All other files are as they were before, to the byte.

Masks and `input_bits` are packed as in :class:`~archonsim.trace.mask.Mask` (a channel's pixels in
row-major order, most significant bit first). So that a file stays small, what is stored of a mask
is ``mask XOR reference``; `encoding` names the reference:

``packed``
    Nothing: the stored bits are the mask.
``xor-keep``
    For true1, true2, true_clip1 and true_clip2: the predicted keep1, keep2, clip1 or clip2.
``xor-predictor``
    For keep1 and keep2: what the stored predictors say of the stored input,
    :func:`archonsim.trace.algebra.predict`.
``xor-weights``
    For true1 and true2: the sign of what the stored weights make of the stored input and keep1,
    :func:`archonsim.trace.algebra.preactivations`.

The last two store only where the exporting framework's rounding decided otherwise, yet stay exact:
a mask is what it was on export, to the bit. They stand for one arithmetic, float32 with every
product and sum rounded, sums over input channels or taps in ascending order from 0, zero weights
left out, then times scale, then plus shift; another one would need another name here.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from archonsim.network.block import Order, Residual
from archonsim.network.layer import Activation, Kind
from archonsim.network.workload import Flavour, MaskSource

FILETYPE: Final = "archonsim-workload"
#: Major: readers of the old one cannot read the new one. Minor: they can.
VERSION: Final = (1, 3)
#: Of a file whose masks know clipped activations, or are not predicted by ternary weights.
CLIP_VERSION: Final = (2, 0)
#: Texts of the provenance that files from 1.1 on may have.
EXPORT_TEXTS: Final = (
    "model",
    "model_sha256",
    "split",
    "image_indices",
    "preprocessing",
    "framework",
    "command",
)

#: Images of a file, at most, and numbers that ``--images`` may name (own decision): the training
#: set of ImageNet has 1.3 million.
MOST_IMAGES: Final = 1_500_000

#: HDF5 file format: the first with checksums on all metadata; any HDF5 from 1.10 on reads it.
LIBVER: Final = ("v110", "v110")

MaskName = Literal["keep1", "keep2", "true1", "true2", "clip1", "clip2", "true_clip1", "true_clip2"]
Encoding = Literal["packed", "xor-keep", "xor-predictor", "xor-weights"]
MASKS: Final[tuple[MaskName, ...]] = ("keep1", "keep2", "true1", "true2")
#: Planes of clipped activations, and the mask that each belongs to.
CLIPS: Final[dict[MaskName, MaskName]] = {
    "clip1": "keep1",
    "clip2": "keep2",
    "true_clip1": "true1",
    "true_clip2": "true2",
}
#: All planes, in an order in which each one's reference is known.
PLANES: Final[tuple[MaskName, ...]] = (*MASKS[:2], "clip1", "clip2", *MASKS[2:], *list(CLIPS)[2:])
ENCODINGS: Final[dict[MaskName, tuple[Encoding, ...]]] = {
    "keep1": ("packed", "xor-predictor"),
    "keep2": ("packed", "xor-predictor"),
    "true1": ("packed", "xor-keep", "xor-weights"),
    "true2": ("packed", "xor-keep", "xor-weights"),
    "clip1": ("packed",),
    "clip2": ("packed",),
    "true_clip1": ("packed", "xor-keep"),
    "true_clip2": ("packed", "xor-keep"),
}

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
ACTIVATIONS: Final[tuple[Activation, ...]] = get_args(Activation)
ORDERS: Final[tuple[Order, ...]] = get_args(Order)
RESIDUALS: Final[tuple[Residual, ...]] = get_args(Residual)
FLAVOURS: Final[tuple[Flavour, ...]] = get_args(Flavour)
MASK_SOURCES: Final[tuple[MaskSource, ...]] = get_args(MaskSource)

#: Integer fields of a Layer that are stored as attributes, with their units.
LAYER_SIZES: Final = {
    "in_channels": "channels",
    "out_channels": "channels",
    "in_h": "pixels",
    "in_w": "pixels",
    "kernel_h": "pixels",
    "kernel_w": "pixels",
    "stride_h": "pixels",
    "stride_w": "pixels",
    "groups": "groups of channels",
}
UNITS: Final = {**LAYER_SIZES, "padding": "pixels (top, bottom, left, right)"}


def group_name(name: str) -> str:
    """Return `name` as an HDF5 link name.

    In a link ``/`` would open a group, and ``.`` is the group itself.
    """
    link = name.replace("%", "%25").replace("/", "%2F")
    return link.replace(".", "%2E") if set(link) == {"."} else link
