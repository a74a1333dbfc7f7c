"""Block by block, why a network's bottlenecks fuse or do not, as plain rows."""

from __future__ import annotations

from typing import Any

from archonsim.export.examine import Examined
from archonsim.export.units import Unit


def listing(examined: Examined) -> dict[str, Any]:
    """Return what was found as plain data.

    Returns
    -------
    dict
        ``model``, ``framework``, ``layers`` and ``blocks`` (counts), ``relu6_measured`` and
        ``candidates``: one row for each depthwise layer, and for each other convolution with a
        window between two 1x1 convolutions.
    """
    rows, index = [], 0
    for one in examined.candidates:
        index += one.fusable
        window = one.window.layer
        channels = "x".join(str(size) for size in (window.in_channels, window.in_h, window.in_w))
        if one.fusable:
            block = one.block(index)
            channels = f"{block.in_channels} -> {block.mid_channels} -> {block.out_channels}"
        rows.append(
            {
                "block": f"b{index}" if one.fusable else "",
                "window": one.window.name,
                "fusable": one.fusable,
                "reason": one.reason,
                "order": one.order if one.fusable else "",
                "layers": [unit.name for unit in one.units],
                "channels": channels,
                "kernel": f"{window.kernel_h}x{window.kernel_w}",
                "stride": window.stride_h,
                "groups": one.units[0].layer.groups if one.fusable else 0,
                "shuffle": one.shuffle,
                "residual": one.residual,
                "relu6": any(unit.activation == "relu6" for unit in one.units),
                "clipped": None if one.clipped is None else list(one.clipped),
            }
        )
    compute = [unit for unit in examined.layers.values() if isinstance(unit, Unit)]
    relu6 = [row for row in rows if row["relu6"] and (row["fusable"] or row["clipped"])]
    return {
        "model": examined.source.model,
        "framework": examined.source.framework,
        "layers": len(compute),
        "blocks": index,
        "relu6_measured": bool(relu6) and all(row["clipped"] is not None for row in relu6),
        "candidates": rows,
    }
