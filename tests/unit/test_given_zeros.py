"""``sparse`` on shapes: densities by kind of layer, and counts or masks that a file gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from archonsim.cli.app import run_command
from archonsim.errors import SpecError
from archonsim.machines.sparse import MACHINE as SPARSE
from archonsim.network.networks import network
from archonsim.network.workload import Workload
from archonsim.runs.simulate import simulate
from archonsim.trace.synthetic import synthesize
from tests.published.sources import SHARED, shared_rows
from tests.row_stationary import sparse


def layers(work: Workload, *overrides: str, fidelity: str = "ideal") -> dict[str, int]:
    report = simulate(
        work, SPARSE, sparse(*overrides), fidelity="ideal" if fidelity == "ideal" else "cycle"
    )
    return {one.name: int(one.cycles) for one in report.layers}


DENSITIES = {"pointwise": 0.2, "depthwise": 0.3, "conv": 0.5, "fc": 0.25}


@pytest.mark.parametrize("kind", DENSITIES)
def test_a_density_applies_to_every_layer_of_its_kind(kind: str) -> None:
    """Of mobilenet_v2, which has no blocks here, as of any network."""
    work = network("mobilenet_v2")
    none = [f"{one}_density=1" for one in DENSITIES]
    whole = layers(work, "nnz=density", *none)
    less = layers(work, "nnz=density", *none, f"{kind}_density={DENSITIES[kind]}")
    for layer in work.layers():
        if not layer.is_compute:
            continue
        pointwise = layer.kind == "conv" and layer.kernel_h == layer.kernel_w == 1
        own = (
            layer.kind
            if layer.kind in ("depthwise", "fc")
            else "pointwise"
            if pointwise
            else "conv"
        )
        assert (less[layer.name] < whole[layer.name]) == (own == kind), layer.name
        if own == kind:
            assert less[layer.name] >= whole[layer.name] * DENSITIES[kind]


def test_mobilenet_v2_on_sparse_is_not_the_dense_array(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["-w", "mobilenet_v2", "--fidelity", "ideal", "-f", "json"]
    found = []
    for arch in (["dense"], ["sparse", "--nnz", "density"]):
        assert run_command(["run", "-a", *arch, *arguments]) == 0
        found.append(capsys.readouterr().out)
    assert '"zero weights skipped in 51 of 53 layers (balanced at densities' in found[1]
    assert "zero weights" not in found[0]


def as_keywords(arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Arrays as numpy.savez takes them, whose own keywords are of other types."""
    return dict(arrays)


def mask_of(work: Workload) -> dict[str, NDArray[Any]]:
    assert work.trace is not None
    return {
        layer.name: work.trace.layer(layer.name).weight != 0
        for layer in work.layers()
        if layer.is_compute
    }


def test_masks_in_a_file_are_as_good_as_weights(tmp_path: Path) -> None:
    """Bit for bit the cycles of the trace they were taken from, in both fidelities and barriers."""
    work = synthesize(network("fusionet_digits"), seed=2, weight_density=(0.2, 0.3, 0.2))[0]
    shapes = network("fusionet_digits")
    path = tmp_path / "masks.npz"
    np.savez_compressed(path, **as_keywords(mask_of(work)))
    for fidelity in ("ideal", "cycle"):
        for barrier in ("pass", "fifo:2"):
            keys = (f"barrier={barrier}",)
            assert layers(shapes, f"nnz={path}", *keys, fidelity=fidelity) == layers(
                work, *keys, fidelity=fidelity
            )


def test_counts_in_a_file_are_balanced(tmp_path: Path) -> None:
    work = network("fusionet_digits")
    path = tmp_path / "counts.csv"
    names = [layer for layer in work.layers() if layer.name.endswith("pw1")]
    path.write_text(
        "layer, nonzeros\n" + "".join(f"{one.name}, {one.weights // 5}\n" for one in names)
    )
    found = layers(work, f"nnz={path}")
    dense = layers(work, "nnz=density", *(f"{one}_density=1" for one in DENSITIES))
    pruned = layers(
        work, "nnz=density", *(f"{one}_density=1" for one in DENSITIES), "pointwise_density=0.2"
    )
    for name in found:
        assert found[name] == (pruned if name in {one.name for one in names} else dense)[name]
    arrays = {one.name: np.array(one.weights // 5) for one in names}
    np.savez(tmp_path / "counts.npz", **as_keywords(arrays))
    assert layers(work, f"nnz={tmp_path / 'counts.npz'}") == found
    (remark,) = SPARSE.remarks(work, sparse(f"nnz={path}"))
    assert remark == f"zero weights skipped in {len(names)} of {len(found)} layers ({path})"


def test_densities_in_a_file(tmp_path: Path) -> None:
    work = network("fusionet_digits")
    path = tmp_path / "densities.csv"
    layer = next(one for one in work.layers() if one.name == "b1.pw1")
    path.write_text("layer,density\nb1.pw1,0.25\n")
    other = tmp_path / "counts.csv"
    other.write_text(f"layer,nonzeros\nb1.pw1,{round(layer.weights * 0.25)}\n")
    assert layers(work, f"nnz={path}") == layers(work, f"nnz={other}")


def test_the_authors_matrices_from_a_file_give_their_cycles(tmp_path: Path) -> None:
    """All real matrices of MobileNetV2 and ShuffleNet, by layer; counts of one group."""
    phases = {"decomp": "pw1", "conv": "dw", "comp": "pw2"}
    table = shared_rows("ics21/sparse_layers.csv")
    with np.load(SHARED / "ics21" / "sparse_passes.npz") as stored:
        for key, name in (
            ("mobilenet", "mobilenetv2_c10-ics21"),
            ("shufflenet", "shufflenet_c10-ics21"),
        ):
            rows = [
                row
                for row in table
                if row["network"] == key and row["dataset"] == "cifar10" and row["npz_key"]
            ]
            wanted = {
                f"b{row['block']}.{phases[row['phase']]}": int(row["sparse_cycles"])
                * int(row["groups"])
                for row in rows
            }
            arrays = {
                f"b{row['block']}.{phases[row['phase']]}": stored[row["npz_key"]] for row in rows
            }
            path = tmp_path / f"{key}.npz"
            np.savez(path, **as_keywords(arrays))
            found = layers(network(name), f"nnz={path}", "mapping=ics21")
            assert {layer: found[layer] for layer in wanted} == wanted
            assert len(wanted) >= 37


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layer,count\nb1.pw1,3\n", "its header is 'layer,count'; it must be layer,nonzeros or"),
        ("layer,nonzeros\nb1.pw9,3\n", "'b1.pw9' is no layer of the workload; did you mean 'b1.pw"),
        (
            "layer,nonzeros\nb1.pw1,-3\n",
            "line 2: nonzeros is '-3'; it must be a whole number from 0",
        ),
        ("layer,nonzeros\nb1.pw1,99999999\n", "it must be a whole number from 0 to"),
        (
            "layer,density\nb1.pw1,1.5\n",
            "line 2: density is '1.5'; it must be a number from 0 to 1",
        ),
        ("layer,density\nb1.pw1,nan\n", "density is 'nan'"),
        ("layer,density\nb1.pw1,.5\nb1.pw1,.5\n", "line 3: layer 'b1.pw1' comes a second time"),
        ("layer,density\n", "names no layer"),
    ],
)
def test_bad_tables_are_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        layers(network("fusionet_digits"), f"nnz={path}")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 3, 3, 3)), "has the shape (3, 3, 3, 3) and type float64; it must be"),
        (np.array(-1), "is -1; it must be from 0 to"),
        (np.full((4, 4), 10**6), "products on 4 PEs; the layer has"),
        (np.full((1000, 2), 1), "products on 1000 PEs; the layer has"),
        (np.full((4, 4), -1), "has counts from -1 to -1"),
        (np.array("text"), "it must hold numbers or booleans"),
    ],
)
def test_bad_arrays_are_one_line(array: NDArray[Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.npz"
    np.savez(path, **as_keywords({"b1.pw1": array}))
    with pytest.raises(SpecError) as caught:
        layers(network("fusionet_digits"), f"nnz={path}")
    assert message in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    work = network("fusionet_digits")
    with pytest.raises(SpecError, match="must be weights, density, ics21, or a file of counts"):
        sparse("nnz=measured")
    (tmp_path / "a.npz").write_bytes(b"no archive")
    with pytest.raises(SpecError, match="is no NPZ file of plain arrays"):
        layers(work, f"nnz={tmp_path / 'a.npz'}")
    with pytest.raises(SpecError, match="cannot be read"):
        layers(work, f"nnz={tmp_path / 'missing.csv'}")
    np.savez(tmp_path / "b.npz", **as_keywords({"b1.pw1": np.array([{}], dtype=object)}))
    with pytest.raises(SpecError, match="is no NPZ file of plain arrays"):
        layers(work, f"nnz={tmp_path / 'b.npz'}")


def test_one_long_row_is_hinted_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same product as a GEMM takes a fifth of the cycles."""
    path = tmp_path / "row.csv"
    header = (
        "Layer, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter,"
        " Strides,\n"
    )
    path.write_text(f"{header}gru, 1, 7680, 1, 1, 2560, 6000, 1,\n")
    assert run_command(["run", "-a", "dense", "-w", str(path), "--fidelity", "ideal"]) == 0
    out = capsys.readouterr().out
    assert "layer gru, on a map of one row, takes 5.3 times the compute cycles that --set" in out
    free = ["--set", "space=free"]
    assert run_command(["run", "-a", "dense", "-w", str(path), "--fidelity", "ideal", *free]) == 0
    assert "on a map of one row" not in capsys.readouterr().out
