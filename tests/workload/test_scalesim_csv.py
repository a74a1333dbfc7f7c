"""SCALE-Sim topologies: their layers, their cycles, and one line for each fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from archonsim import run
from archonsim.dataflow.systolic import layer_cycles
from archonsim.errors import WorkloadError
from archonsim.network.layer import Layer
from archonsim.network.scalesim_csv import read_topology
from tests.published.sources import shared_rows

CONV = (
    "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter,"
    " Strides,\n"
)
GEMM = "Layer, M, N, K,\n"


def layers(tmp_path: Path, text: str) -> list[Layer]:
    path = tmp_path / "net.csv"
    path.write_text(text, "utf-8")
    return list(read_topology(path).layers())


def fault(tmp_path: Path, text: str) -> str:
    with pytest.raises(WorkloadError) as caught:
        layers(tmp_path, text)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{tmp_path}/")


def test_convolutions_keep_names_and_order(tmp_path: Path) -> None:
    first, second = layers(
        tmp_path, CONV + "Conv1, 224, 224, 3, 3, 3, 32, 2,\n\nConv 2/a, 112, 110, 1, 1, 32, 64, 1\n"
    )
    assert (first.name, first.in_channels, first.out_channels, first.out_h, first.out_w) == (
        "Conv1",
        3,
        32,
        112,
        112,
    )
    assert first.padding == (0, 1, 0, 1)
    assert (second.name, second.out_h, second.out_w, second.macs) == (
        "Conv 2/a",
        112,
        110,
        112 * 110 * 32 * 64,
    )


def test_products_are_pixels_filters_and_terms(tmp_path: Path) -> None:
    (layer,) = layers(tmp_path, GEMM + "g, 5, 7, 11,\n")
    assert (layer.out_h * layer.out_w, layer.out_channels, layer.in_channels, layer.macs) == (
        5,
        7,
        11,
        385,
    )


def test_a_name_with_dp_is_depthwise(tmp_path: Path) -> None:
    one, two = layers(tmp_path, CONV + "DP1, 8, 8, 3, 3, 16, 1, 1,\nDP2, 8, 8, 3, 3, 16, 2, 1,\n")
    assert (one.kind, one.groups, one.out_channels) == ("depthwise", 16, 16)
    assert (two.kind, two.groups, two.out_channels, two.macs) == ("conv", 16, 32, 36 * 9 * 32)


def test_columns_are_read_by_header_in_any_order(tmp_path: Path) -> None:
    (usual,) = layers(tmp_path, CONV + "c, 14, 12, 3, 5, 32, 64, 2,\n")
    (mixed,) = layers(
        tmp_path,
        "Layer, num filters, Input Channels, ifmap_w, ifmap_h, Filt H, Filt W, Stride\n"
        "c, 64, 32, 12, 14, 3, 5, 2\n",
    )
    assert mixed == usual
    (product,) = layers(tmp_path, "Layer, K, M, N\ng, 11, 5, 7\n")
    assert (product.in_channels, product.in_h, product.out_channels) == (11, 5, 7)


def test_a_batch_is_no_stride(tmp_path: Path) -> None:
    """One image takes 24 190 cycles on 32x32 PEs; read as a stride of 4, a batch took 6 802."""
    path = tmp_path / "net.csv"
    path.write_text(
        CONV.replace("Strides,", "Strides, Batch Size,")
        + "Tok, 32, 32, 1, 1, 64, 64, 1, 4,\nAtt, 32, 32, 1, 1, 64, 128, 1, 4,\n"
    )
    work = read_topology(path)
    assert sum(layer_cycles(layer, 32, 32) for layer in work.layers()) == 24_190
    assert "batch 4: all figures are of one image, a batch takes 4 times as much" in (
        work.provenance.note
    )


def test_groups_padding_and_stride_width_have_columns(tmp_path: Path) -> None:
    header = CONV.replace("Strides,", "Stride Height, Stride Width, Groups, Padding, Dilation,")
    one, two = layers(
        tmp_path,
        header + "a, 8, 8, 3, 3, 16, 16, 1, 2, 16, 1, 1,\nDPN, 8, 8, 3, 3, 8, 8, 1, 1, 2,\n",
    )
    assert (one.kind, one.groups, one.out_h, one.out_w, one.padding) == (
        "depthwise",
        16,
        8,
        4,
        (1, 1, 1, 1),
    )
    assert (two.kind, two.groups, two.out_channels, two.macs) == ("conv", 2, 8, 36 * 9 * 4 * 8)


@pytest.mark.parametrize(
    "text",
    [
        (CONV + "Conv1,12,12,3,3,1,4,1,\n").replace(",", "\t"),
        (CONV + "Conv1,12,12,3,3,1,4,1\n").replace(",", ";"),
        f"# a net\n\n{CONV}\n,,,\nConv1,12,12,3,3,1,4,1,#first\n#Conv2,1,1\n",
        CONV + "Conv1, 12, 12, 3, 3, 1, 4, 1 # first, second\n",
        CONV.replace(",\n", "\r\n") + '"Conv1","12", "12",3,3,1,4,1\r\n',
        "\ufeff" + CONV + "Conv1,12,12,3,3,1,4,1,,,\n",
    ],
)
def test_separators_quotes_comments_and_blanks(tmp_path: Path, text: str) -> None:
    (layer,) = layers(tmp_path, text)
    assert (layer.name, layer.in_h, layer.out_channels, layer.macs) == ("Conv1", 12, 4, 3600)


def test_a_depthwise_layer_by_its_name_is_told(tmp_path: Path) -> None:
    path = tmp_path / "net.csv"
    path.write_text(CONV + "DPN_block1, 32, 32, 3, 3, 8, 16, 1,\n")
    assert "DPN_block1 depthwise by the name (it contains DP" in read_topology(path).provenance.note


def test_sparsity_is_of_each_filters_weights(tmp_path: Path) -> None:
    one, two, three = layers(
        tmp_path, CONV + "a,9,9,3,3,3,2,1,2:4\nb,9,9,1,1,4,8,1,1:4\nc,9,9,3,3,1,1,1,\n"
    )
    assert (one.sparsity, one.kept_weights) == ((2, 4), 2 * (6 * 2 + 2))
    assert (two.sparsity, two.kept_weights) == ((1, 4), 8)
    assert (three.sparsity, three.kept_weights) == (None, 9)


def test_sparsity_runs_on_the_sparse_array_only(tmp_path: Path) -> None:
    """The dense array's mapping gives each PE n products a pass; at 2:4 it does half of them."""
    dense, sparse = tmp_path / "dense.csv", tmp_path / "sparse.csv"
    dense.write_text(CONV + "a, 8, 8, 1, 1, 64, 64, 1, 1:1\n")
    sparse.write_text(CONV + "a, 8, 8, 1, 1, 64, 64, 1, 2:4\n")
    for fidelity in ("ideal", "cycle"):
        whole = run("sparse", dense, fidelity=fidelity).report
        half = run("sparse", sparse, fidelity=fidelity).report
        assert (whole.total_macs, half.total_macs) == (8 * 8 * 64 * 64, 8 * 8 * 64 * 32)
        assert half.total_cycles < whole.total_cycles
    ideal = run("sparse", sparse, fidelity="ideal").report
    assert 2 * ideal.total_cycles == run("sparse", dense, fidelity="ideal").report.total_cycles
    with pytest.raises(WorkloadError, match=r"'a' is 2:4 sparse, and architecture 'systolic' mult"):
        run("systolic", sparse)
    run("systolic", dense)


def test_a_row_of_many_pixels_takes_no_memory_for_its_passes(tmp_path: Path) -> None:
    """Passes that are alike are a number: as a list, 1.8e9 of them took 73 GiB."""
    path = tmp_path / "net.csv"
    path.write_text(CONV + "gru, 1, 7680, 1, 1, 2560, 6000, 1,\n")
    report = run("sparse", path, fidelity="ideal").report
    assert report.total_cycles == run("dense", path, fidelity="ideal").report.total_cycles


def test_names_that_come_again_get_a_number(tmp_path: Path) -> None:
    assert [
        layer.name for layer in layers(tmp_path, GEMM + "a,1,1,1\nb,1,1,1,1:1,\na,1,1,1\n")
    ] == ["a", "b", "a#2"]


def test_strides_of_both_axes_and_dense_sparsity_are_read(tmp_path: Path) -> None:
    one, two = layers(tmp_path, CONV + "a, 9, 9, 3, 3, 1, 1, 1, 2,\nb, 9, 9, 3, 3, 1, 1, 3, 1:1,\n")
    assert (one.out_h, one.out_w) == (7, 4)
    assert (two.out_h, two.out_w) == (3, 3)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "net.csv: is empty; a topology has a header and a line for each layer"),
        (CONV, "net.csv: has a header and no layer; add a line for each layer"),
        (
            CONV + "a, 8, 8, 3, 3, x, 4, 1,\n",
            "line 2: layer 'a': Channels is 'x'; it must be a whole number of at least 1",
        ),
        (
            CONV + "a, 8, 8, 3, 3, 2, 4, 1,\nb, 8, 8, 3, 3, 2, 4, 0,\n",
            "line 3: layer 'b': Strides is '0'",
        ),
        (CONV + "a, 8, 8, 3, 3, 2.5, 4, 1,\n", "Channels is '2.5'"),
        (CONV + "a, 8, 8, 3, -3, 2, 4, 1,\n", "Filter Width is '-3'"),
        (
            CONV + "a, 8, 2, 3, 3, 2, 4, 1,\n",
            "line 2: layer 'a': Filter Width is 3; it must be at most IFMAP Width, 2",
        ),
        (
            CONV + "a, 8, 8, 3, 3, 2,\n",
            "line 2: layer 'a': Num Filter is missing; a layer has Layer name, IFMAP Height",
        ),
        (
            CONV + "a, 8, 8, 3, 3, 2, 4, 1, 1, 9,\n",
            "line 2: layer 'a': '9' stands in column 10, which the header does not name",
        ),
        (
            CONV + "a, 8, 8, 3, 3, 2, 4, 1, 4:2,\n",
            "Sparsity is '4:2'; it must be N:M, 1 <= N <= M, for example 2:4",
        ),
        (CONV + ", 8, 8, 3, 3, 2, 4, 1,\n", "line 2: the layer's name is empty"),
        (GEMM + "a, 8, 8,\n", "line 2: layer 'a': K is missing; a layer has Layer name, M, N, K"),
        (GEMM + "a, 8, 8, 8, 8\n", "'8' stands in column 5, which the header does not name"),
        ("a, 8, 8, 3, 3, 2, 4, 1,\n", "line 1: is 'a' and numbers; the first line is a header"),
        (
            "Layer, M, K\n",
            "line 1: no column N: a header names the layer and M, N, K, or IFMAP Height",
        ),
        (
            CONV.replace("Strides,", "Strides, Dilation,") + "a, 8, 8, 3, 3, 2, 4, 1, 2,\n",
            "Dilation is 2; no machine models dilation: it must be 1",
        ),
        (
            CONV.replace("Strides,", "Strides,,,Eh,Ew") + "a, 8, 8, 3, 3, 2, 4, 1,,,10,10\n",
            "line 1: column 11 is called 'Eh', which is not known",
        ),
        (
            CONV.replace("Channels", "Chanels") + "a, 8, 8, 3, 3, 2, 4, 1,\n",
            "column 6 is called 'Chanels', which is not known; did you mean 'Channels'?",
        ),
        (
            CONV.replace("Strides,", "Strides, Stride,") + "a, 8, 8, 3, 3, 2, 4, 1, 1,\n",
            "column 9, 'Stride', gives Strides a second time",
        ),
        (
            CONV.replace("Strides,", "Strides, Batch,")
            + "a, 8, 8, 3, 3, 2, 4, 1, 4,\nb, 8, 8, 3, 3, 2, 4, 1, 2,\n",
            "line 3: layer 'b': Batch is 2, and that of 'a' is 4; all layers of a file are of one",
        ),
        (
            CONV.replace("Strides,", "Strides, Groups,") + "a, 8, 8, 3, 3, 4, 4, 1, 3,\n",
            "Groups is 3; it must divide the 4 channels and 4 filters",
        ),
        (GEMM.replace("K,", "K, Strides") + "a, 1, 1, 1, 1\n", "column 'Strides' beside M, N, K"),
        (GEMM + "a, 1, 1, 2147483648,\n", "K is 2147483648; it must be less than 2^31"),
        (GEMM + f"a, 1, 1, {'9' * 5000},\n", "K is a number of 5000 digits; it must be less"),
        (GEMM + "a, 1, 1, 1\n" * 5001, "has 5001 layers; at most 5000 are read"),
        (GEMM + "a, 999999, 999999, 999999,\n", "has 1.0e+18 multiplications; it must have less"),
        (GEMM + '"a, 1, 1, 1,\n', "line 2: unexpected end of data; close every quote"),
        ("Layer | M | N | K\na | 1 | 1 | 1\n", "cells are separated by commas"),
    ],
)
def test_faults_name_line_column_and_value(tmp_path: Path, text: str, told: str) -> None:
    assert told in fault(tmp_path, text)


def test_what_is_no_text_or_not_there_is_told(tmp_path: Path) -> None:
    path = tmp_path / "net.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WorkloadError, match="is not a text file"):
        read_topology(path)
    with pytest.raises(WorkloadError, match=r"no\.csv: cannot be read: No such file"):
        read_topology(tmp_path / "no.csv")


def test_imported_topologies_take_scalesims_cycles(tmp_path: Path) -> None:
    """Every row of SCALE-Sim's tables, from the columns that a topology has."""
    checked, read = 0, {}
    for row in shared_rows("scalesim/cycles.csv"):
        if row["kind"] == "gemm":
            text = f"{GEMM}{row['layer']}, {row['M']}, {row['N']}, {row['K']},\n"
        else:
            keys = ("ifmap_h", "ifmap_w", "filt_h", "filt_w", "channels", "filters", "stride")
            text = (
                f"{CONV}{row['layer']}, {', '.join(str(int(float(row[key]))) for key in keys)},\n"
            )
        if text not in read:
            (read[text],) = layers(tmp_path, text)
        layer = read[text]
        cycles = layer_cycles(
            layer,
            int(row["rows"]),
            int(row["cols"]),
            row["dataflow"],  # type: ignore[arg-type]
            "scalesim",
        )
        assert (layer.name, layer.macs, cycles) == (
            row["layer"],
            int(row["macs"]),
            int(row["compute_cycles"]),
        )
        checked += 1
    assert checked == 4072
