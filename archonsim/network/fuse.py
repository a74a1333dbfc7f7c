"""FuSe variants of any network: K x K depthwise layers cut into 1xK and Kx1 ones.

After DATE'21 (FuSeConv): a depthwise layer on C channels becomes a 1xK and a Kx1 depthwise layer
side by side, whose outputs are concatenated. ``half`` gives the first C/2 channels to the one and
the others to the other, so that what follows stays as it is; ``full`` gives each all C channels,
and what follows up to the next convolution works on 2C (a squeeze-and-excitation's hidden layer,
too). Strides stay on both axes.

``half-50`` and ``full-50`` replace half of the depthwise layers (rounded down), those with the
largest output maps, whose cycles on a systolic array a variant saves most (own decision: the
authors chose the blocks of each network by hand; their choices are the networks that ship, such as
``mobilenet_v2-fuse-half-50``).

Only shapes are rewritten: weights and masks of a trained network are none of the other one, which
would have to be trained anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from archonsim.errors import WorkloadError
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.workload import Item, Workload

Variant = Literal["full", "half", "full-50", "half-50"]
VARIANTS: Final[tuple[Variant, ...]] = ("full", "half", "full-50", "half-50")

#: Between a workload and a variant, where a user writes both: ``mynet.toml+fuse-half``.
MARK: Final = "+fuse-"

#: Kinds that work on as many channels as they are given, between a depthwise layer and the next
#: convolution.
_PASSING: Final = frozenset({"avgpool", "pool", "multiply", "shuffle", "fc"})


def split_variant(text: str) -> tuple[str, Variant | None]:
    """Split ``NAME+fuse-VARIANT`` into what is rewritten and how; None where nothing is.

    A file whose own name holds the mark is a file.

    Raises
    ------
    WorkloadError
        No variant has that name.
    """
    base, mark, name = text.rpartition(MARK)
    if not mark or Path(text).exists():
        return text, None
    for variant in VARIANTS:
        if name == variant:
            return base, variant
    raise WorkloadError(
        f"{text}: unknown FuSe variant {name!r}; it must be one of {', '.join(VARIANTS)}"
    )


def fuse_network(workload: Workload, variant: Variant) -> Workload:
    """Return a network with its K x K depthwise layers replaced; shapes alone.

    Blocks without a replaced layer stay blocks; those with one become plain layers.

    Parameters
    ----------
    workload : Workload
    variant : {"full", "half", "full-50", "half-50"}

    Raises
    ------
    WorkloadError
        The network has no K x K depthwise layer, an odd number of channels is to be halved, or what
        stands behind a ``full`` one cannot take twice the channels.
    """
    width, _, share = variant.partition("-")
    chosen = _chosen(workload, half=bool(share))
    items: list[Item] = []
    for item in workload.items:
        if isinstance(item, Block) and item.dw.name not in chosen:
            items.append(item)
        else:
            items += [*_plain(item)] if isinstance(item, Block) else [item]
    rewritten = _rewritten(workload.name, items, chosen, width)
    norm = workload.provenance.note
    note = f"{len(chosen)} depthwise layers rewritten as FuSe {variant}: shapes only, not trained"
    return replace(
        workload,
        name=f"{workload.name}{MARK}{variant}",
        items=tuple(rewritten),
        trace=None,
        digest="",
        provenance=replace(
            workload.provenance,
            flavour="shape-only",
            mask_source="none",
            test_accuracy=None,
            test_images=0,
            untrained=False,
            note=f"{norm}; {note}" if norm else note,
        ),
        # What these stand for in the source's own layers is unknown here.
        unexecuted_params=max(0, workload.unexecuted_params),
    )


def _chosen(workload: Workload, *, half: bool) -> frozenset[str]:
    """Return the names of the depthwise layers to replace."""
    windows = [
        layer
        for layer in workload.layers()
        if layer.kind == "depthwise" and layer.kernel_h > 1 and layer.kernel_w > 1
    ]
    if not windows:
        raise WorkloadError(
            f"{workload.name}: has no depthwise layer with a window of more than one row and"
            " column; a FuSe variant replaces those"
        )
    if half:
        windows.sort(key=lambda one: -one.out_channels * one.out_h * one.out_w)
        windows = windows[: max(1, len(windows) // 2)]
    return frozenset(layer.name for layer in windows)


def _plain(block: Block) -> Iterator[Layer]:
    """Return a block's layers with its shuffle and residual, as layers of their own."""
    for layer in block.layers:
        yield layer
        last = block.layers[1] if block.order == "pw-pw-dw" else block.layers[2]
        if block.shuffle > 1 and layer is (block.pw1 if block.order == "pw-pw-dw" else last):
            yield Layer(
                name=f"{block.name}.shuffle",
                kind="shuffle",
                role="shuffle",
                in_channels=layer.out_channels,
                out_channels=layer.out_channels,
                in_h=layer.out_h,
                in_w=layer.out_w,
                groups=block.shuffle,
            )
    if block.residual != "none":
        channels, height, width = block.output_shape
        yield Layer(
            name=f"{block.name}.{block.residual}",
            kind=block.residual,
            role=block.residual,
            in_channels=channels,
            out_channels=channels,
            in_h=height,
            in_w=width,
        )


def _rewritten(
    name: str, items: Sequence[Item], chosen: frozenset[str], width: str
) -> Iterator[Item]:
    """Yield the items with depthwise layers cut, and what follows a ``full`` one widened."""
    wide = ""  # the replaced layer whose 2C channels flow on
    for item in items:
        if isinstance(item, Block):
            if wide:
                raise _stuck(name, wide, item.name)
            yield item
        elif item.name in chosen:
            if wide:
                raise _stuck(name, wide, item.name)
            yield from _cut(name, item, width)
            wide = item.name if width == "full" else ""
        elif not wide:
            yield item
        elif item.kind == "conv":
            yield replace(item, in_channels=2 * item.in_channels)
            wide = ""
        elif item.kind in _PASSING:
            yield replace(
                item, in_channels=2 * item.in_channels, out_channels=2 * item.out_channels
            )
        else:
            raise _stuck(name, wide, item.name)
    if wide:
        raise _stuck(name, wide, "the end of the network")


def _stuck(name: str, layer: str, behind: str) -> WorkloadError:
    return WorkloadError(
        f"{name}: {layer} of a full FuSe variant makes twice its channels, which {behind} behind it"
        " cannot take; use a half variant"
    )


def _cut(name: str, layer: Layer, width: str) -> Iterator[Layer]:
    """Yield the 1xK and Kx1 layers of a depthwise layer, and their concatenation."""
    channels = layer.in_channels
    if width == "half" and channels % 2:
        raise WorkloadError(
            f"{name}: {layer.name} has {channels} channels, which a half FuSe variant cannot halve;"
            " use a full variant"
        )
    share = channels if width == "full" else channels // 2
    top, bottom, left, right = layer.padding
    part = replace(layer, in_channels=share, out_channels=share, groups=share)
    row = replace(
        part, name=f"{layer.name}_h", role="fuse_1xk", kernel_h=1, padding=(0, 0, left, right)
    )
    column = replace(
        part, name=f"{layer.name}_v", role="fuse_kx1", kernel_w=1, padding=(top, bottom, 0, 0)
    )
    for one in (row, column):
        if (one.out_h, one.out_w) != (layer.out_h, layer.out_w):
            raise WorkloadError(
                f"{name}: {layer.name} pads so that its 1xK and Kx1 parts make other maps than"
                f" itself ({one.out_h}x{one.out_w} for {layer.out_h}x{layer.out_w}); a FuSe variant"
                " needs windows whose padding keeps the map's size"
            )
    yield row
    yield column
    yield Layer(
        name=f"{layer.name}.concat",
        kind="concat",
        role="concat",
        in_channels=2 * share,
        out_channels=2 * share,
        in_h=layer.out_h,
        in_w=layer.out_w,
    )
