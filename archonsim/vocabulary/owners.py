"""Who can own a cycle.

The same words on every machine, in the order in which a waterfall shows them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Owner:
    """A cause that cycles are lost to (the first two: work that must be done).

    Attributes
    ----------
    name : str
        Key in JSON and CSV.
    title : str
        For people.
    meaning : str
    keys : tuple of (key, what it does)
        Keys of machines' descriptions that act on it; each machine has some of them.
    """

    name: str
    title: str
    meaning: str
    keys: tuple[tuple[str, str], ...] = ()


_BANDWIDTH = (
    "dram.gigabytes_per_second",
    "more bandwidth; with dram.model=banks it is dram.device that counts",
)

OWNERS: tuple[Owner, ...] = (
    Owner("macs", "multiplications", "multiplications that are done, every PE busy in every cycle"),
    Owner(
        "adders", "additions", "additions that are done, every adder of every PE busy in every cycle",
        (("pe.adders", "more adders"), ("skip_zero_ternary", "predictors leave zero weights out")),
    ),
    Owner(
        "empty", "empty MAC slots", "PEs that pass a group's beat without a survivor in it, and have nothing to multiply",
        (("skip_empty_groups", "groups without candidates take no beat; those without survivors still do"),),
    ),
    Owner(
        "bias", "bias terms", "beats of batch-norm shifts, which are added without a multiplication",
        (("bias_terms", "untimed leaves them out, as the published model does"),),
    ),
    Owner(
        "beats", "beat quantisation", "second and further beats of groups that have more candidates than a beat",
        (("pe.candidates_per_adder", "wider beats"), ("pe.adders", "wider beats")),
    ),
    Owner(
        "mapping", "mapping and edges", "PEs or adders without work: edge tiles, and loops that the array's shape does not divide",
        (("pe.rows", "another shape"), ("pe.cols", "another shape"), ("mapping", "the authors' or your own"),
         ("dataflow", "what stays in a PE")),
    ),
    Owner(
        "fill", "array fill and drain", "operands on their way into the array, and results out of it, at every fold",
        (("pe.rows", "a smaller array fills sooner"), ("pe.cols", "a smaller array fills sooner")),
    ),
    Owner(
        "imbalance", "imbalance", "all PEs waiting for the slowest: a beat for a full FIFO, a pass for its fullest PE",
        (("pe.fifo_depth", "deeper FIFOs let PEs drift apart"), ("lane_order", "rotate deals candidates out over all lanes"),
         ("barrier", "fifo:N lets a PE run N passes ahead")),
    ),
    Owner(
        "ports", "on-chip ports", "reads and writes of on-chip buffers that nothing hides",
        (("glb.read_words_per_cycle", "a wider port"), ("glb.write_words_per_cycle", "a wider port"),
         ("pe.pad_writes_per_cycle", "a wider port")),
    ),
    Owner(
        "weights", "weight stream", "weights from DRAM that came too late",
        (("weights", "cache reads fused weights once a block where they fit"), _BANDWIDTH),
    ),
    Owner(
        "masks", "mask delivery", "ReLU masks that came too late, from DRAM or the prediction GLB",
        (("prediction_glb.words", "masks of a block that fit stay on chip"),
         ("mask_fetch", "refetch charges what the prediction buffers cannot keep"),
         ("prediction_glb.read_words_per_cycle", "a wider port"), _BANDWIDTH),
    ),
    Owner(
        "map", "predicted map", "the first prediction's map on its way to DRAM and back",
        (("prediction_order", "channel keeps it on chip"), _BANDWIDTH),
    ),
    Owner(
        "dram", "inputs and outputs", "feature maps and partial sums from and to DRAM",
        (("glb.words", "maps that fit stay on chip"), _BANDWIDTH),
    ),
    Owner("drain", "drain", "all beats of a tile are out, and sums still on their way"),
)  # fmt: skip

#: Owners by name.
BY_NAME = {owner.name: owner for owner in OWNERS}
