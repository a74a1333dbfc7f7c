"""ImageNet networks of DATE'21 and their FuSe variants.

The tables are in ``archonsim/data/networks/imagenet``.

A FuSe variant replaces a K x K depthwise layer on C channels by a 1xK and a Kx1 depthwise layer,
whose outputs are concatenated: ``full`` gives both all C channels (2C into the pointwise layer
behind), ``half`` gives each C/2. The ``-50`` variants replace the blocks marked ``hybrid`` only.
Source: public repository iitm-sysdl/FuSeConv, commit 04cdf54.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources

from archonsim.network.layer import Layer
from archonsim.network.table import MapCursor, Row, Table
from archonsim.network.workload import Provenance, Workload
from archonsim.spec.shipped import shipped_names


def read_imagenet_table(network: str) -> Table:
    """Read a shipped table."""
    return tomllib.loads(
        (
            resources.files("archonsim") / "data" / "networks" / "imagenet" / f"{network}.toml"
        ).read_text("utf-8")
    )


def split_variant(name: str) -> tuple[str, str]:
    """Split ``mobilenet_v2-fuse-half-50`` into network and ``half-50``."""
    network, _, variant = name.partition("-fuse-")
    return network, variant


#: Keys of a table that hold for every block which does not say otherwise.
BLOCK_KEYS = ("activation", "fuse_activation", "names", "fuse_names", "residual", "bottleneck")


class _Unit:
    """One block of a table, appended layer by layer.

    Parameters
    ----------
    at : MapCursor
    name : str
        Module path of the block.
    row : dict
        The block's row over the table's defaults.
    variant : str
        ``full``, ``half``, or empty where the block is not replaced.
    """

    def __init__(self, at: MapCursor, name: str, row: Row, variant: str) -> None:
        self._at, self._name, self._row, self._variant = at, name, row, variant
        self._parts: dict[str, str] = row["fuse_names"] if variant else row["names"]

    def _path(self, part: str) -> str:
        return f"{self._name}.{self._parts[part]}"

    def layers(self) -> list[Layer]:
        """All layers in order of execution."""
        at, row = self._at, self._row
        before, stride = at.shape, row.get("stride", 1)
        layers = []
        if "expand" in row:
            layers.append(self._pointwise("expand", row["expand"], row["activation"]))
        layers += self._spatial(row.get("kernel", 3), stride)
        if row.get("excite"):
            layers += self._excitation()
        # Without a residual sum (MobileNetV1) the last layer has its ReLU, too.
        layers.append(
            self._pointwise("project", row["out"], "none" if row["residual"] else row["activation"])
        )
        after = at.shape
        if row.get("downsample"):
            name = f"{self._name}.downsample.0"
            layers.append(
                at.layer(
                    "conv", "pointwise", name, at=before, out=row["out"], stride=stride, padding=0
                )
            )
        if row["residual"] and (before == after or row["bottleneck"]):
            activation = row["activation"] if row["bottleneck"] else "none"
            layers.append(at.layer("add", "add", f"{self._name}.add", activation=activation))
        return layers

    def _pointwise(self, part: str, out: int, activation: str) -> Layer:
        return self._at.layer("conv", "pointwise", self._path(part), out=out, activation=activation)

    def _spatial(self, kernel: int, stride: int) -> list[Layer]:
        """The K x K layer, or what replaces it."""
        at, activation = self._at, self._row["activation"]
        if self._variant:
            activation = self._row.get("fuse_activation", activation)
        plain = {"stride": stride, "padding": kernel // 2, "activation": activation}
        if not self._variant and self._row["bottleneck"]:
            return [at.layer("conv", "conv", self._path("dw"), kernel=kernel, **plain)]
        if not self._variant:
            return [at.layer("depthwise", "depthwise", self._path("dw"), kernel=kernel, **plain)]
        channels, height, width = at.shape
        share = channels if self._variant == "full" else channels // 2
        lines = []
        for role, end, shape in (("fuse_1xk", "h", (1, kernel)), ("fuse_kx1", "v", (kernel, 1))):
            at.move(share, height, width)
            lines.append(
                at.layer(
                    "depthwise", role, f"{self._path('dw')}_{end}", kernel=shape, **plain, out=share
                )
            )
        joined = (2 * share, at.height, at.width)
        return [*lines, at.layer("concat", "concat", f"{self._path('dw')}.concat", at=joined)]

    def _excitation(self) -> list[Layer]:
        """Squeeze-and-excitation to a quarter of the channels, without biases."""
        at, path = self._at, self._path("excite")
        before = at.shape
        squeeze = at.layer("avgpool", "global_avgpool", f"{path}.avg_pool")
        first = at.layer(
            "fc", "linear", f"{path}.fc.0", out=before[0] // 4, activation="relu", bias=False
        )
        second = at.layer(
            "fc", "linear", f"{path}.fc.2", out=before[0], activation="hsigmoid", bias=False
        )
        return [
            squeeze,
            first,
            second,
            at.layer("multiply", "se_scale", f"{path}.scale", at=before),
        ]


def imagenet_layers(table: Table, variant: str) -> list[Layer]:
    """Return the layers of a table in one variant.

    The variant is ``""``, ``"full"``, ``"half"``, ``"full-50"`` or ``"half-50"``.
    """
    at = MapCursor(3, 224, 224)
    layers = [at.layer("conv", "conv", **{"kernel": 3, "stride": 2, "padding": 1, **table["stem"]})]
    if "stem_pool" in table:
        layers.append(at.layer("pool", "maxpool", **table["stem_pool"]))
    index = table.get("first_block", 1)
    width, _, share = variant.partition("-")
    defaults = {
        "residual": True,
        "bottleneck": False,
        **{key: table[key] for key in BLOCK_KEYS if key in table},
    }
    for row in table["blocks"]:
        for _ in range(row.get("repeat", 1)):
            name = row.get("name", f"{table.get('prefix')}.{index}")
            replaced = width if not share or row.get("hybrid") else ""
            layers += _Unit(at, name, {**defaults, **row}, replaced).layers()
            index += 1
    return layers + [at.layer(**row) for row in table["tail"]]


#: FuSe variants of every table; those of the second row need blocks marked `hybrid`.
VARIANTS = ("full", "half")
HYBRIDS = ("full-50", "half-50")


@cache
def imagenet_names() -> tuple[str, ...]:
    """Return the names of all networks and variants."""
    names: list[str] = []
    for network in shipped_names("networks/imagenet"):
        hybrid = any(row.get("hybrid") for row in read_imagenet_table(network)["blocks"])
        variants = VARIANTS + (HYBRIDS if hybrid else ())
        names += [network, *(f"{network}-fuse-{variant}" for variant in variants)]
    return tuple(names)


@cache
def imagenet_network(name: str) -> Workload:
    """Return a network by name, ``mobilenet_v2`` or ``mobilenet_v2-fuse-half-50``."""
    network, variant = split_variant(name)
    table = read_imagenet_table(network)
    return Workload(
        name=name,
        items=tuple(imagenet_layers(table, variant)),
        provenance=Provenance(network=name, dataset="imagenet"),
        norm_params=2,
        unexecuted_params=table.get("unexecuted_params", 0) if variant in ("full", "half") else 0,
    )
