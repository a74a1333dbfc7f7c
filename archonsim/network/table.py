"""From a network table (TOML) to layers and blocks.

A table holds ``dataset``, ``input`` (channels, height, width), rows of ``head`` and ``tail`` (one
layer each) and of ``blocks`` (one bottleneck each, ``repeat`` times), and maybe ``base``, another
table whose keys it replaces. :mod:`archonsim.network.table_schema` checks it. A block's keys:

``mid, out, kernel, stride, groups, shuffle, residual, predicted, order``
    As in :class:`~archonsim.network.block.Block`.
``excite, excite_after``
    Hidden channels of a squeeze-and-excitation, after ``dw`` or ``pw2``.
``fusable``
    False: the block is a run of plain layers, because something that does not fuse stands between
    them.
``joined``
    Channels that a concatenation after PW1 leaves, in a run of plain layers.
``at``
    (channels, height, width) of the row's input where it is not the output before: what a
    simulation ran, not a network.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, cast

from archonsim.errors import SpecError, WorkloadError, nearest
from archonsim.network.block import Block
from archonsim.network.layer import Layer, same_padding
from archonsim.network.table_schema import NetworkTable, check_table, row_name
from archonsim.network.workload import Item, Provenance, Workload
from archonsim.spec.load import read_toml
from archonsim.spec.shipped import shipped_names

Row = dict[str, Any]
Table = dict[str, Any]


class MapCursor:
    """The feature map that the next layer reads, while a table is turned into layers."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        self.move(channels, height, width)
        self._names: dict[str, int] = {}

    def move(self, channels: int, height: int, width: int) -> None:
        """Go on from another map."""
        self.channels, self.height, self.width = channels, height, width

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return self.channels, self.height, self.width

    def _unique(self, role: str) -> str:
        self._names[role] = self._names.get(role, 0) + 1
        return role if self._names[role] == 1 else f"{role}{self._names[role]}"

    def layer(self, kind: Any, role: str, name: str = "", **row: Any) -> Layer:
        """Append one layer; the map becomes its output.

        `row` may hold ``out``, ``kernel`` (one number, or height and width), ``stride``,
        ``padding`` (an integer for both sides of a padded axis; TensorFlow's ``same`` by default),
        ``groups``, ``activation``, ``batchnorm``, ``bias``, ``at``.
        """
        if "at" in row:
            self.move(*row["at"])
        out = row.get("out", self.channels)
        kernel, stride = row.get("kernel", 1), row.get("stride", 1)
        tall, wide = (kernel, kernel) if isinstance(kernel, int) else kernel
        channels, height, width = (
            (self.channels * self.height * self.width, 1, 1) if kind == "fc" else self.shape
        )
        if "padding" in row:
            padding = (row["padding"] * (tall > 1),) * 2 + (row["padding"] * (wide > 1),) * 2
        else:
            padding = (*same_padding(height, tall, stride), *same_padding(width, wide, stride))
        layer = Layer(
            name=name or self._unique(role),
            kind=kind,
            role=role,
            in_channels=channels,
            out_channels=out,
            in_h=height,
            in_w=width,
            kernel_h=tall,
            kernel_w=wide,
            stride_h=stride,
            stride_w=stride,
            padding=padding,
            groups=channels if kind == "depthwise" else row.get("groups", 1),
            activation=row.get("activation", "none"),
            batchnorm=row.get("batchnorm", kind in ("conv", "depthwise")),
            bias=row.get("bias", kind == "fc"),
        )
        self.move(layer.out_channels, layer.out_h, layer.out_w)
        return layer

    def excitation(self, prefix: str, hidden: int) -> list[Layer]:
        """Append a squeeze-and-excitation: average, two layers, product with the map."""
        before = self.shape
        layers = [
            self.layer("avgpool", "se_squeeze", f"{prefix}.se_squeeze"),
            self.layer("fc", "se_excite1", f"{prefix}.se_excite1", out=hidden, activation="relu"),
            self.layer(
                "fc", "se_excite2", f"{prefix}.se_excite2", out=before[0], activation="sigmoid"
            ),
        ]
        self.move(*before)
        return [*layers, self.layer("multiply", "se_scale", f"{prefix}.se_scale")]


def _fused_block(at: MapCursor, index: int, row: Row) -> Block:
    """Append PW1, DW and PW2 as one block."""
    groups, order = row.get("groups", 1), row.get("order", "pw-dw-pw")
    late = order == "pw-pw-dw"
    name, before = f"b{index}", at.channels
    pw1 = at.layer("conv", "pw1", f"{name}.pw1", out=row["mid"], groups=groups, activation="relu")
    steps = {
        "dw": lambda: at.layer(
            "depthwise",
            "dw",
            f"{name}.dw",
            kernel=row["kernel"],
            stride=row.get("stride", 1),
            activation="none" if late else "relu",
        ),
        "pw2": lambda: at.layer(
            "conv",
            "pw2",
            f"{name}.pw2",
            out=row["out"],
            groups=groups,
            activation="relu" if late else "none",
        ),
    }
    made = {role: steps[role]() for role in (("pw2", "dw") if late else ("dw", "pw2"))}
    residual = row.get("residual", "none")
    if residual == "concat":
        at.move(at.channels + before, at.height, at.width)
    return Block(
        index=index,
        pw1=pw1,
        dw=made["dw"],
        pw2=made["pw2"],
        order=order,
        residual=residual,
        shuffle=row.get("shuffle", 0),
        predicted=row.get("predicted", True),
    )


def _shortcut(at: MapCursor, before: tuple[int, int, int], name: str, row: Row) -> list[Layer]:
    """Append a residual sum, or a concatenation with the average-pooled input."""
    residual, activation = row.get("residual", "none"), row.get("join_activation", "none")
    if residual == "none":
        return []
    if residual == "add":
        return [at.layer("add", "add", f"{name}.add", activation=activation)]
    made = at.channels
    pool = at.layer(
        "pool", "avgpool", f"{name}.avgpool", at=before, kernel=3, stride=row.get("stride", 1)
    )
    return [
        pool,
        at.layer(
            "concat",
            "concat",
            f"{name}.concat",
            at=(made + before[0], *at.shape[1:]),
            out=made + before[0],
            activation=activation,
        ),
    ]


def _plain_block(at: MapCursor, index: int, row: Row) -> list[Layer]:
    """Append a block as a run of plain layers."""
    name, before, groups = f"b{index}", at.shape, row.get("groups", 1)
    late = row.get("order", "pw-dw-pw") == "pw-pw-dw"
    layers = [
        at.layer("conv", "pw1", f"{name}.pw1", out=row["mid"], groups=groups, activation="relu")
    ]
    if "joined" in row:
        layers.append(
            at.layer("concat", "concat", f"{name}.concat", at=(row["joined"], at.height, at.width))
        )
    if late:
        layers.append(
            at.layer("conv", "pw2", f"{name}.pw2", out=row["out"], groups=groups, activation="relu")
        )
    if "shuffle" in row:
        layers.append(at.layer("shuffle", "shuffle", f"{name}.shuffle", groups=row["shuffle"]))
    activation = row.get("dw_activation", "none" if late else "relu")
    layers.append(
        at.layer(
            "depthwise",
            "dw",
            f"{name}.dw",
            kernel=row["kernel"],
            stride=row.get("stride", 1),
            activation=activation,
        )
    )
    if "excite" in row:
        layers += at.excitation(name, row["excite"])
    if not late:
        layers.append(at.layer("conv", "pw2", f"{name}.pw2", out=row["out"], groups=groups))
    return layers + _shortcut(at, before, name, row)


def _block_items(at: MapCursor, index: int, row: Row) -> list[Item]:
    if "at" in row:
        at.move(*row["at"])
    if not row.get("fusable", row.get("excite_after") != "dw"):
        return list(_plain_block(at, index, row))
    if "excite" not in row:
        return [_fused_block(at, index, row)]
    before = at.shape
    block = _fused_block(at, index, {**row, "residual": "none"})
    return [
        block,
        *at.excitation(block.name, row["excite"]),
        *_shortcut(at, before, block.name, row),
    ]


def table_items(table: NetworkTable, where: str) -> tuple[Item, ...]:
    """Return the layers and blocks of a network table.

    Raises
    ------
    WorkloadError
        A layer or block is impossible; the message names `where` and the row.
    """
    at = MapCursor(*table["input"])
    items: list[Item] = []
    for part in ("head", "blocks", "tail"):
        index = table.get("first_block", 1)
        for number, row in enumerate(cast("list[Row]", table.get(part, [])), 1):
            try:
                if part != "blocks":
                    items.append(at.layer(**{"role": row["kind"], **row}))
                    continue
                for _ in range(row.get("repeat", 1)):
                    items += _block_items(at, index, {**table.get("every_block", {}), **row})
                    index += 1
            except WorkloadError as error:
                raise WorkloadError(f"{where}: {row_name(part, number)}: {error}") from error
    return tuple(items)


def read_network(path: Path) -> Workload:
    """Read a network of the user's own, as shapes.

    Raises
    ------
    WorkloadError
        The file is missing, no TOML, or no network; one line names file, field and value.
    """
    table = check_table(_own_table(path, ()), str(path))
    return build_network(table, path.name, path.stem, str(path))


def build_network(table: NetworkTable, name: str, network: str, where: str) -> Workload:
    """Return a checked table's workload.

    Parameters
    ----------
    table : NetworkTable
    name : str
        Of the workload.
    network : str
        Of its provenance.
    where : str
        Where the table stands, for errors.

    Raises
    ------
    WorkloadError
        As `table_items`; or two layers have one name.
    """
    return Workload(
        name=name,
        items=table_items(table, where),
        provenance=Provenance(
            network=network, dataset=table.get("dataset", ""), note=table.get("note", "")
        ),
    )


def shipped_table(name: str) -> Table:
    """Read a shipped table (``archonsim/data/networks/NAME.toml``) over its ``base``, if any."""
    text = (resources.files("archonsim") / "data" / "networks" / f"{name}.toml").read_text("utf-8")
    table = tomllib.loads(text)
    base = table.pop("base", None)
    return table if base is None else {**shipped_table(base), **table}


def _own_table(path: Path, above: tuple[Path, ...]) -> Table:
    """Read a user's table over its ``base``, a file in the same folder or a shipped table."""
    try:
        table = read_toml(path)
    except SpecError as error:
        raise WorkloadError(str(error)) from error
    base = table.pop("base", None)
    if base is None:
        return table
    names = shipped_names("networks")
    if isinstance(base, str) and base.endswith(".toml"):
        below = (path.parent / base).resolve()
        above = (*above, path.resolve())
        if below in above:
            raise WorkloadError(f"{path}: base is {base!r}, which lies over this file")
        return {**_own_table(below, above), **table}
    if base not in names:
        hint = nearest(base, names) if isinstance(base, str) else ""
        raise WorkloadError(
            f"{path}: base is {base!r}; it must be the name of a shipped table, or a file that ends"
            f" in .toml{hint}"
        )
    return {**shipped_table(base), **table}
