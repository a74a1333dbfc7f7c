"""Reading a workload file.

Structure and all cheap checks at once, tensors when they are asked for.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

from archonsim.errors import WorkloadError
from archonsim.network.block import Block
from archonsim.network.layer import Layer, Padding
from archonsim.network.prediction import TERNARY, Prediction
from archonsim.network.workload import Item, Provenance, Workload
from archonsim.trace.digest import combine
from archonsim.tracefile import schema
from archonsim.tracefile.check import check_provenance, check_structure
from archonsim.tracefile.datasets import noted_digests
from archonsim.tracefile.file_trace import FileTrace
from archonsim.tracefile.hdf5_in import Node, open_file
from archonsim.tracefile.schema import MOST_IMAGES
from archonsim.visible import visible

#: Layers and blocks of a file, at most (own decision): the deepest networks have some thousands.
MOST_ITEMS = 20_000


def open_workload(path: Path) -> Workload:
    """Open a workload file.

    Structure, shapes and types of everything are checked here, and the digest against those of the
    parts. The values of a part are checked, its digest included, whenever it is read;
    :func:`archonsim.tracefile.check.validate` reads all.

    Raises
    ------
    WorkloadError
        The file is missing, damaged, not a workload, of a newer format, or its content is
        impossible.
    """
    with open_file(path) as root:
        _check_version(root)
        workload = Workload(
            name=visible(path.name),
            items=_items(root),
            provenance=_provenance(root),
            digest=root.text("digest"),
            norm_params=root.integer("norm_params"),
            unexecuted_params=root.integer("unexecuted_params"),
        )
        _check_clips(root, workload)
        images = root.integer("images")
        if not 0 <= images <= MOST_IMAGES:
            raise root.error(f"images is {images}; it must be from 0 to {MOST_IMAGES}")
        check_structure(workload, chained=bool(workload.digest))
        check_provenance(workload, images)
        if not workload.digest:
            if images:
                raise root.error(
                    f"digest is empty beside {images} images; it must be the SHA-256 of the content"
                )
            return workload
        parts = noted_digests(root, workload, images)
        _check_digest(
            root, "digest", combine(workload, images, replace(parts, inputs={}, values={}))
        )
        if parts.inputs or root.has("digest_with_inputs"):
            whole = combine(workload, images, replace(parts, values={}))
            _check_digest(root, "digest_with_inputs", whole)
            workload = replace(workload, digest=whole)
        if parts.values or root.has("digest_with_values"):
            whole = combine(workload, images, parts)
            _check_digest(root, "digest_with_values", whole)
            workload = replace(workload, digest=whole)
    return replace(workload, trace=FileTrace.of(path, workload, images))


def _check_digest(root: Node, name: str, found: str) -> None:
    noted = root.text(name)
    if noted != found:
        raise root.error(
            f"{name} is {noted}, but the parts give {found}: damaged, or edited after it was"
            " written"
        )


def _check_version(root: Node) -> None:
    if not root.has("filetype") or (found := root.text("filetype")) != schema.FILETYPE:
        kind = repr(found) if root.has("filetype") else "missing"
        raise root.error(
            f"is HDF5, but no workload: attribute 'filetype' is {kind}; it must be"
            f" {schema.FILETYPE!r}"
        )
    major, minor = root.integers("version", 2)
    known = (schema.VERSION, schema.CLIP_VERSION)
    if major not in (version[0] for version in known):
        ours = " and ".join(".".join(map(str, version)) for version in known)
        advice = "upgrade archonsim" if major > known[-1][0] else "export it again"
        raise root.error(
            f"format version is {major}.{minor}; this archonsim reads {ours}: {advice}"
        )


def _check_clips(root: Node, workload: Workload) -> None:
    """Refuse clipped activations where the version says that there are none."""
    clipping = [block.name for block in workload.blocks() if any(block.clips)]
    major = root.integers("version", 2)[0]
    if clipping and major != schema.CLIP_VERSION[0]:
        raise root.error(
            f"block {clipping[0]} has clips in format version {major}; they are of version"
            f" {'.'.join(map(str, schema.CLIP_VERSION))}"
        )


def _provenance(root: Node) -> Provenance:
    return Provenance(
        network=root.text("network"),
        dataset=root.text("dataset"),
        flavour=root.choice("flavour", schema.FLAVOURS),
        mask_source=root.choice("mask_source", schema.MASK_SOURCES),
        test_accuracy=root.number("test_accuracy") if root.has("test_accuracy") else None,
        test_images=root.integer("test_images"),
        created_by=root.text("created_by"),
        seed=root.integer("seed") if root.has("seed") else None,
        note=root.text("note"),
        untrained=root.has("untrained") and root.boolean("untrained"),
        **{name: root.text(name) for name in schema.EXPORT_TEXTS if root.has(name)},
    )


def _items(root: Node) -> tuple[Item, ...]:
    layers, blocks = root.group("layers"), root.group("blocks")
    items: list[Item] = []
    links = root.texts("items")
    if len(links) > MOST_ITEMS:
        raise root.error(f"items names {len(links)} layers and blocks; at most {MOST_ITEMS}")
    if len(set(links)) < len(links):
        twice = next(link for link in links if links.count(link) > 1)
        raise root.error(f"items names {twice!r} twice; each layer and block stands there once")
    for link in links:
        where, _, name = link.partition("/")
        if where not in ("layers", "blocks"):
            raise root.error(f"items holds {link!r}; it must begin with 'layers/' or 'blocks/'")
        item = (
            _layer(layers.group(name)) if where == "layers" else _block(blocks.group(name), layers)
        )
        if schema.group_name(item.name) != name:
            raise root.error(f"{link}: holds {item.name!r}; a group is called as what it holds")
        items.append(item)
    if not items:
        raise root.error("items is empty; a workload has at least one layer")
    return tuple(items)


def _layer(node: Node) -> Layer:
    sizes = {name: node.integer(name) for name in schema.LAYER_SIZES}
    return Layer(
        name=node.text("name"),
        kind=node.choice("kind", schema.KINDS),
        role=node.text("role"),
        padding=cast(Padding, node.integers("padding", 4)),
        activation=node.choice("activation", schema.ACTIVATIONS),
        batchnorm=node.boolean("batchnorm"),
        bias=node.boolean("bias"),
        sparsity=_sparsity(node),
        **sizes,
    )


def _sparsity(node: Node) -> tuple[int, int] | None:
    if not node.has("sparsity"):
        return None
    kept, run = node.integers("sparsity", 2)
    return kept, run


def _prediction(node: Node) -> Prediction:
    if not node.has("prediction"):
        return TERNARY
    try:
        return Prediction.from_text(node.text("prediction"))
    except WorkloadError as error:
        raise node.error(str(error)) from None


def _block(node: Node, layers: Node) -> Block:
    pw1, dw, pw2 = (
        _layer(layers.group(schema.group_name(node.text(role)))) for role in ("pw1", "dw", "pw2")
    )
    return Block(
        index=node.integer("index"),
        pw1=pw1,
        dw=dw,
        pw2=pw2,
        order=node.choice("order", schema.ORDERS),
        residual=node.choice("residual", schema.RESIDUALS),
        shuffle=node.integer("shuffle"),
        predicted=node.boolean("predicted"),
        clips=_clips(node),
        prediction=_prediction(node),
    )


def _clips(node: Node) -> tuple[float, float]:
    if not node.has("clips"):
        return 0.0, 0.0
    first, second = node.numbers("clips", 2)
    return first, second
