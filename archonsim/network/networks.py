"""Networks known by name, as shapes: tables in ``archonsim/data/networks``, one TOML file each.

A network is registered as an entry point of the group ``archonsim.networks``: a function without
arguments that returns a :class:`Workload`. The built-in ones are listed in ``pyproject.toml`` like
a plug-in's would be.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any

from archonsim.errors import WorkloadError, nearest
from archonsim.network.table import table_items
from archonsim.network.workload import Provenance, Workload
from archonsim.plugins import load_plugin, plugin_names

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
        raise WorkloadError(
            f"network {name!r}: its entry point returned {type(workload).__name__}, not a Workload"
        )
    return workload


def read_table(name: str) -> dict[str, Any]:
    """Read a shipped table, laid over its ``base`` where it names one."""
    text = (resources.files("archonsim") / "data" / "networks" / f"{name}.toml").read_text("utf-8")
    table = tomllib.loads(text)
    base = table.pop("base", None)
    return table if base is None else {**read_table(base), **table}


@cache
def from_table(name: str) -> Workload:
    """Read a shipped network table (``archonsim/data/networks/NAME.toml``)."""
    table = read_table(name)
    return Workload(
        name=name,
        items=table_items(table),
        provenance=Provenance(network=name, dataset=table["dataset"], note=table.get("note", "")),
    )


def __getattr__(name: str) -> Any:
    """Make every shipped table reachable as an entry point, ``archonsim.network.networks:fusionet_c10``.

    A ``-`` in a table's name is ``__`` here.
    """
    table = name.replace("__", "-")
    if (
        not name.startswith("_")
        and (resources.files("archonsim") / "data" / "networks" / f"{table}.toml").is_file()
    ):
        return lambda: from_table(table)
    raise AttributeError(name)
