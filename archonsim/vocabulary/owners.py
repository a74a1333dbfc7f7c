"""Who can own a cycle.

The same words on every machine, in the order in which a waterfall shows them.
"""

from __future__ import annotations

from dataclasses import dataclass

from archonsim.vocabulary.words import Word

#: Where an owner that a machine declares stands, unless it says otherwise: before ``mapping``,
#: which takes what the machine's bounds leave of its array's cycles.
BEFORE_MAPPING = 55


@dataclass(frozen=True, kw_only=True)
class Owner(Word):
    """A cause that cycles are lost to, or work that must be done.

    Attributes
    ----------
    keys : tuple of (key, what it does)
        Keys of machines' descriptions that act on it; each machine has some of them.
    letter : str
        One letter, in bars of many owners; without one, the first of the name, in lower case.
    work : bool
        Whether it is work that must be done, and no loss.
    rare : bool
        Whether a waterfall names it only where it owns cycles.

    Notes
    -----
    `colour` may also be one of a terminal's colour names.
    """

    order: int = BEFORE_MAPPING
    keys: tuple[tuple[str, str], ...] = ()
    letter: str = ""
    work: bool = False
    rare: bool = False

    def __post_init__(self) -> None:
        """Fill in what is left out."""
        Word.__post_init__(self)
        if not self.letter:
            object.__setattr__(self, "letter", str(self.name)[:1].lower())


_BANDWIDTH = (
    "dram.gigabytes_per_second",
    "more bandwidth; with dram.model=banks it is dram.device that counts",
)

OWNERS: tuple[Owner, ...] = (
    Owner(
        name="macs",
        title="multiplications",
        meaning="multiplications that are done, every PE busy in every cycle",
        order=10,
        colour="green",
        letter="M",
        work=True,
    ),
    Owner(
        name="adders",
        title="additions",
        meaning="additions that are done, every adder of every PE busy in every cycle",
        order=20,
        colour="cyan",
        letter="A",
        work=True,
        keys=(
            ("pe.adders", "more adders"),
            ("skip_zero_ternary", "predictors leave zero weights out"),
        ),
    ),
    Owner(
        name="empty",
        title="empty MAC slots",
        meaning=(
            "PEs that pass a group's beat without a survivor in it, and have nothing to multiply"
        ),
        order=30,
        colour="bright_black",
        letter="E",
        keys=(
            (
                "skip_empty_groups",
                "groups without candidates take no beat; those without survivors still do",
            ),
        ),
    ),
    Owner(
        name="bias",
        title="bias terms",
        meaning="beats of batch-norm shifts, which are added without a multiplication",
        order=40,
        colour="magenta",
        letter="B",
        keys=(("bias_terms", "untimed leaves them out, as the published model does"),),
    ),
    Owner(
        name="beats",
        title="beat quantisation",
        meaning="second and further beats of groups that have more candidates than a beat",
        order=50,
        colour="bright_magenta",
        letter="Q",
        keys=(
            ("pe.candidates_per_adder", "wider beats"),
            ("pe.adders", "wider beats"),
        ),
    ),
    Owner(
        name="mapping",
        title="mapping and edges",
        meaning=(
            "PEs or adders without work: edge tiles, and loops that the array's shape does not"
            " divide"
        ),
        order=60,
        colour="yellow",
        letter="G",
        keys=(
            ("pe.rows", "another shape"),
            ("pe.cols", "another shape"),
            ("mapping", "the authors' or your own"),
            ("dataflow", "what stays in a PE"),
        ),
    ),
    Owner(
        name="fill",
        title="array fill and drain",
        meaning="operands on their way into the array, and results out of it, at every fold",
        order=70,
        colour="bright_yellow",
        letter="F",
        keys=(
            ("pe.rows", "a smaller array fills sooner"),
            ("pe.cols", "a smaller array fills sooner"),
        ),
    ),
    Owner(
        name="imbalance",
        title="imbalance",
        meaning=(
            "all PEs waiting for the slowest: a beat for a full FIFO, a pass for its fullest PE"
        ),
        order=80,
        colour="red",
        letter="I",
        keys=(
            ("pe.fifo_depth", "deeper FIFOs let PEs drift apart"),
            ("lane_order", "rotate deals candidates out over all lanes"),
            ("barrier", "fifo:N lets a PE run N passes ahead"),
        ),
    ),
    Owner(
        name="ports",
        title="on-chip ports",
        meaning="reads and writes of on-chip buffers that nothing hides",
        order=90,
        colour="blue",
        letter="P",
        keys=(
            ("glb.read_words_per_cycle", "a wider port"),
            ("glb.write_words_per_cycle", "a wider port"),
            ("pe.pad_writes_per_cycle", "a wider port"),
        ),
    ),
    Owner(
        name="weights",
        title="weight stream",
        meaning="weights from DRAM that came too late",
        order=100,
        colour="bright_blue",
        letter="W",
        keys=(
            ("weights", "cache reads fused weights once a block where they fit"),
            _BANDWIDTH,
        ),
    ),
    Owner(
        name="masks",
        title="mask delivery",
        meaning="ReLU masks that came too late, from DRAM or the prediction GLB",
        order=110,
        colour="bright_cyan",
        letter="K",
        keys=(
            ("prediction_glb.words", "masks of a block that fit stay on chip"),
            ("mask_fetch", "once leaves out what the prediction buffers cannot keep"),
            ("prediction_glb.read_words_per_cycle", "a wider port"),
            _BANDWIDTH,
        ),
    ),
    Owner(
        name="map",
        title="predicted map",
        meaning="the first prediction's map on its way to DRAM and back",
        order=120,
        colour="bright_red",
        letter="R",
        keys=(
            ("prediction_order", "channel keeps it on chip"),
            _BANDWIDTH,
        ),
    ),
    Owner(
        name="dram",
        title="inputs and outputs",
        meaning="feature maps and partial sums from and to DRAM",
        order=130,
        colour="bright_green",
        letter="D",
        keys=(
            ("glb.words", "maps that fit stay on chip"),
            _BANDWIDTH,
        ),
    ),
    Owner(
        name="drain",
        title="drain",
        meaning="all beats of a tile are out, and sums still on their way",
        order=140,
        colour="white",
        letter="N",
    ),
)

#: Owners by name.
BY_NAME = {owner.name: owner for owner in OWNERS}
