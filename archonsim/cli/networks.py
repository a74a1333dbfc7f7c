"""``archonsim networks``: the networks known by name."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from archonsim.cli.common import Form, Format
from archonsim.cli.rows import print_rows
from archonsim.network.networks import find_network, network, network_sources
from archonsim.network.workload import Workload


def _network_row(work: Workload, source: str) -> dict[str, Any]:
    return {
        "name": work.name,
        "dataset": work.provenance.dataset,
        "blocks": sum(1 for _ in work.blocks()),
        "layers": sum(1 for _ in work.layers()),
        "macs": work.macs,
        "params": work.params,
        "from": source,
    }


def networks(
    name: Annotated[
        str | None, typer.Argument(help="Show the layers of this network, or of a table (.toml).")
    ] = None,
    form: Form = Format.table,
) -> None:
    """List networks known by name and where each comes from, or one's layers."""
    if name is None:
        print_rows(
            form, [_network_row(network(one), source) for one, source in network_sources().items()]
        )
        return
    work = find_network(name)
    print_rows(
        form,
        [
            {
                "name": layer.name,
                "kind": layer.kind,
                "in": f"{layer.in_channels}x{layer.in_h}x{layer.in_w}",
                "out": f"{layer.out_channels}x{layer.out_h}x{layer.out_w}",
                "kernel": f"{layer.kernel_h}x{layer.kernel_w}",
                "stride": f"{layer.stride_h}x{layer.stride_w}",
                "groups": layer.groups,
                "macs": layer.macs,
                "params": work.params_of(layer),
            }
            for layer in work.layers()
        ],
    )
