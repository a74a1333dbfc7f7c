"""SCALE-Sim topologies: their layers, their cycles, and one line for each fault."""

from __future__ import annotations

from pathlib import Path

import pytest

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
            "line 2: layer 'a' has 5 values; it must have 7: IFMAP Height",
        ),
        (CONV + "a, 8, 8, 3, 3, 2, 4, 1, 1, 9,\n", "has '9' after its last column"),
        (
            CONV + "a, 8, 8, 3, 3, 2, 4, 1, 2:4,\n",
            "Sparsity is '2:4'; only dense layers (1:1) are modelled",
        ),
        (CONV + ", 8, 8, 3, 3, 2, 4, 1,\n", "line 2: the layer's name is empty"),
        (GEMM + "a, 8, 8,\n", "line 2: layer 'a' has 2 values; it must have 3: M, N, K"),
        (GEMM + "a, 8, 8, 8, 8\n", "has '8' after its last column 'K'"),
        ("a, 8, 8, 3, 3, 2, 4, 1,\n", "line 1: is 'a' and numbers; the first line is a header"),
        ("Layer, M, K\n", "line 1: the header has 2 columns after the layer's name"),
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
            layer, int(row["rows"]), int(row["cols"]), row["dataflow"], "scalesim"
        )  # type: ignore[arg-type]
        assert (layer.name, layer.macs, cycles) == (
            row["layer"],
            int(row["macs"]),
            int(row["compute_cycles"]),
        )
        checked += 1
    assert checked == 4072
