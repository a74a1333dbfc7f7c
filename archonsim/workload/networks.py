"""Networks known by name, as shapes: tables in ``archonsim/data/networks``, one TOML file each.

A network is registered as an entry point of the group ``archonsim.networks``: a function without arguments that
returns a :class:`Workload`. The built-in ones are listed in ``pyproject.toml`` like a plug-in's would be.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any

from archonsim.errors import WorkloadError, nearest
from archonsim.plugins import load_plugin, plugin_names
from archonsim.workload.block import Block
from archonsim.workload.layer import Layer, same_padding
from archonsim.workload.workload import Item, Provenance, Workload

GROUP = "archonsim.networks"


def network_names() -> list[str]:
    """Return the names of all registered networks, sorted."""
    return plugin_names(GROUP)


def network(name: str) -> Workload:
    """Return a registered network as a shape-only workload.

    Raises
    ------
    WorkloadError
        No network of that name is registered.
    """
    if name not in network_names():
        raise WorkloadError(f"unknown network {name!r}{nearest(name, network_names())}")
    workload = load_plugin(GROUP, name)()
    if not isinstance(workload, Workload):
        raise WorkloadError(f"network {name!r}: its entry point returned {type(workload).__name__}, not a Workload")
    return workload


class _Map:
    """The feature map that the next layer reads, while a table is turned into layers."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        self.channels, self.height, self.width = channels, height, width
        self.names: dict[str, int] = {}

    def unique(self, role: str) -> str:
        self.names[role] = self.names.get(role, 0) + 1
        return role if self.names[role] == 1 else f"{role}{self.names[role]}"

    def layer(self, kind: str, role: str, name: str = "", **row: Any) -> Layer:
        """Append one layer; the map becomes its output."""
        out = row.get("out", self.channels)
        kernel, stride = row.get("kernel", 1), row.get("stride", 1)
        if kind == "fc":
            channels, height, width = self.channels * self.height * self.width, 1, 1
        else:
            channels, height, width = self.channels, self.height, self.width
        groups = channels if kind == "depthwise" else row.get("groups", 1)
        layer = Layer(
            name=name or self.unique(role),
            kind=kind,  # type: ignore[arg-type]
            role=role,
            in_channels=channels,
            out_channels=out,
            in_h=height,
            in_w=width,
            kernel_h=kernel,
            kernel_w=kernel,
            stride_h=stride,
            stride_w=stride,
            padding=(*same_padding(height, kernel, stride), *same_padding(width, kernel, stride)),
            groups=groups,
            activation=row.get("activation", "none"),
            batchnorm=row.get("batchnorm", kind in ("conv", "depthwise")),
            bias=row.get("bias", kind == "fc"),
        )
        self.channels, self.height, self.width = layer.out_channels, layer.out_h, layer.out_w
        return layer

    def block(self, index: int, row: dict[str, Any]) -> Block:
        """Append one bottleneck block (PW1 - DW - PW2)."""
        groups, mid = row.get("groups", 1), row["mid"]
        return Block(
            index=index,
            pw1=self.layer("conv", "pw1", f"b{index}.pw1", out=mid, groups=groups, activation="relu"),
            dw=self.layer(
                "depthwise", "dw", f"b{index}.dw", out=mid, kernel=row["kernel"], stride=row.get("stride", 1), activation="relu"
            ),
            pw2=self.layer("conv", "pw2", f"b{index}.pw2", out=row["out"], groups=groups),
            residual=row.get("residual", "none"),
            shuffle=row.get("shuffle", 0),
            predicted=row.get("predicted", True),
        )


def _items(table: dict[str, Any]) -> tuple[Item, ...]:
    at = _Map(*table["input"])
    items: list[Item] = [at.layer(**row) for row in table["head"]]
    index = table.get("first_block", 1)
    for row in table["blocks"]:
        for _ in range(row.get("repeat", 1)):
            items.append(at.block(index, row))
            index += 1
    items += [at.layer(**row) for row in table["tail"]]
    return tuple(items)


@cache
def from_table(name: str) -> Workload:
    """Read a shipped network table (``archonsim/data/networks/NAME.toml``)."""
    text = (resources.files("archonsim") / "data" / "networks" / f"{name}.toml").read_text("utf-8")
    table = tomllib.loads(text)
    return Workload(
        name=name, items=_items(table), provenance=Provenance(network=name, dataset=table["dataset"], note=table.get("note", ""))
    )


def __getattr__(name: str) -> Any:
    """Make every shipped table reachable as an entry point, ``archonsim.workload.networks:fusionet_c10``."""
    if not name.startswith("_") and (resources.files("archonsim") / "data" / "networks" / f"{name}.toml").is_file():
        return lambda: from_table(name)
    raise AttributeError(name)
