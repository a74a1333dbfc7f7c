"""Networks known by name, as shapes: those that ship with the package, and those of plug-ins.

A shipped network is one file, ``archonsim/data/networks/NAME.toml``; one of ImageNet (in
``imagenet/``) comes with its FuSe variants. A plug-in registers a network as an entry point of the
group ``archonsim.networks``: a function without arguments that returns a :class:`Workload`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

from archonsim.errors import WorkloadError, nearest
from archonsim.network.fuse import fuse_network, split_variant
from archonsim.network.imagenet import imagenet_names, imagenet_network
from archonsim.network.table import build_network, read_network, shipped_table
from archonsim.network.table_schema import check_table
from archonsim.network.workload import Workload
from archonsim.plugins import load_plugin, plugin_sources
from archonsim.spec.shipped import shipped_names

GROUP = "archonsim.networks"
SHIPPED = "shipped"


@cache
def _shipped() -> frozenset[str]:
    return frozenset(shipped_names("networks")) | frozenset(imagenet_names())


def network_sources() -> dict[str, str]:
    """Return the names of all networks, sorted, each with where it comes from.

    Raises
    ------
    WorkloadError
        A plug-in registers the name of a shipped network.
    """
    sources = dict.fromkeys(_shipped(), SHIPPED)
    for name, source in plugin_sources(GROUP).items():
        if name in sources:
            raise WorkloadError(
                f"network {name!r} is shipped with archonsim, and {source} registers that name,"
                " too: rename or uninstall that one"
            )
        sources[name] = source
    return dict(sorted(sources.items()))


def network_names() -> list[str]:
    """Return the names of all networks, sorted."""
    return list(network_sources())


def network(name: str) -> Workload:
    """Return a network as a shape-only workload.

    Raises
    ------
    WorkloadError
        No network has that name, or a plug-in's is none.
    """
    source = network_sources().get(name)
    if source is None:
        raise WorkloadError(f"unknown network {name!r}{nearest(name, network_names())}")
    if source == SHIPPED:
        return _shipped_network(name)
    workload = load_plugin(GROUP, name)()
    if not isinstance(workload, Workload):
        raise WorkloadError(
            f"network {name!r}: its entry point returned {type(workload).__name__}, not a Workload"
        )
    return replace(workload, name=name)


def find_network(text: str) -> Workload:
    """Return a network by name, or read it from a table whose name ends in ``.toml``.

    Either may be followed by ``+fuse-VARIANT`` (:mod:`archonsim.network.fuse`).
    """
    base, variant = split_variant(text)
    if variant is not None:
        return fuse_network(find_network(base), variant)
    return read_network(Path(text)) if text.endswith(".toml") else network(text)


@cache
def _shipped_network(name: str) -> Workload:
    if name in imagenet_names():
        return imagenet_network(name)
    where = f"archonsim/data/networks/{name}.toml"
    return build_network(check_table(shipped_table(name), where), name, name, where)
