"""ARCHON's description: what the preset, a TOML file and ``--set`` may say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from archonsim.spec.effect import Needs
from archonsim.spec.parts import CONFIG, BufferSpec, Count, DmaSpec, DramSpec, Rate, Share, Size

#: More rows than any map here has pixels; a slip of the finger would otherwise compute for hours
#: (own decision).
MOST_ROWS = 1024
#: Likewise for the parts of one PE, which the paper gives 6 adders (own decision): a beat is worked
#: out lane by lane.
MOST_OF_PE = {"adders": 256, "candidates_per_adder": 64, "fifo_depth": 65_536}


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class PeSpec:
    """The PE array and one PE.

    Attributes
    ----------
    rows, cols : int
        The array; in the main phase each PE owns one output pixel of a rows x cols tile.
    adders : int
        Wide adders (lanes) of a PE, each with a FIFO before it.
    candidates_per_adder : int
        Candidates that a lane can take from one beat; in prediction, narrow adders that a wide one
        splits into.
    fifo_depth : int
        Entries of a lane's FIFO.
    ifmap_words : int
        Input pad in the prediction configuration: what it holds is read once.
    main_ifmap_words : int
        Input pad in the main configuration: a window of one input channel that does not fit is cut
        into rows of taps.
    psum_words : int
        Partial-sum pad in the main configuration: output channels beyond it are spilled to the GLB.
    prediction_buffer_words : int
        A PE's buffer for masks.
    mask_links : bool
        Whether PEs pass the masks of their windows on to their neighbours when the main phase moves
        from one tap to the next, so that only the pixels of one column are new (a what-if: nothing
        published names such wires).
    lookups_per_cycle : int or None
        Candidates whose keep bits a PE looks up in a cycle; a beat has no more. None: as many as
        its adders take.
    psum_pads : {"double", "single"}
        ``double``: a tile's first sums find an empty pad while the last tile's leave the other one;
        ``single``: the next tile waits until the pad is read out.
    """

    rows: Count
    cols: Count
    adders: Count
    candidates_per_adder: Count
    fifo_depth: Count
    ifmap_words: Count
    main_ifmap_words: Count
    psum_words: Count
    prediction_buffer_words: Count
    mask_links: bool = False
    lookups_per_cycle: Count | None = None
    psum_pads: Literal["double", "single"] = "double"

    def __post_init__(self) -> None:
        if self.cols > 64:
            raise ValueError(f"cols is {self.cols}; at most 64 columns are modelled")
        if self.rows > MOST_ROWS:
            raise ValueError(f"rows is {self.rows}; at most {MOST_ROWS} rows are modelled")
        for name, most in MOST_OF_PE.items():
            if getattr(self, name) > most:
                raise ValueError(
                    f"{name} is {getattr(self, name)}; at most {most} are modelled in a PE"
                )
        if self.fifo_depth < self.candidates_per_adder:
            raise ValueError(
                f"fifo_depth is {self.fifo_depth} and candidates_per_adder"
                f" {self.candidates_per_adder}: a beat whose candidates all survive would never"
                " fit; make the FIFO at least as deep"
            )

    @property
    def count(self) -> int:
        """Number of PEs."""
        return self.rows * self.cols

    @property
    def beat_candidates(self) -> int:
        """Candidates that a PE's adders take in a cycle, and its narrow adders in prediction."""
        return self.adders * self.candidates_per_adder

    @property
    def beat_width(self) -> int:
        """Most candidates in one beat."""
        looked_up = self.lookups_per_cycle
        return min(self.beat_candidates, looked_up or self.beat_candidates)


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class ArchonSpec:
    """The whole machine.

    Attributes
    ----------
    clock_mhz : float
    pe : PeSpec
    glb, prediction_glb : BufferSpec
    dram : DramSpec
    dma : DmaSpec
    lane_order : {"rotate", "fixed"}
        ``rotate``: each beat starts at the lane after the last one used; ``fixed``: at lane 0.
    skip_empty_groups : bool
        Whether a group without candidates takes no beat.
    bias_terms : {"timed", "untimed"}
        ``untimed``: batch-norm shifts cost no beats, as in the published model.
    prediction_order : {"layer", "channel"}
        ``layer``: the whole predicted PW1 map, spilled to DRAM when it does not fit; ``channel``:
        DW's prediction follows PW1's channel chunk by channel chunk, so the map never leaves the
        chip.
    weights : {"stream", "cache"}
        ``stream``: fused weights are read from DRAM for every tile; ``cache``: once a block when
        they fit in the GLB.
    main_order : {"published", "mapped"}
        Order of the main phase's groups. ``published``: input channel, output channel, tap.
        ``mapped``: the loop nest that takes the fewest cycles on this machine, searched block by
        block (:mod:`archonsim.machines.archon.main_search`).
    mapping : str
        Mappings of the main phases: ``search``, or a file of them (``.toml``, ``.json``, also a
        ``result.json``; :mod:`archonsim.machines.archon.main_book`).
    group_order : {"published", "balanced", "profiled"}
        Order of the groups inside a step of a mapped main phase: output by output; the largest and
        the smallest in turn, by their candidates; or by the survivors that other images of the
        trace make expect (:mod:`archonsim.machines.archon.main_profile`).
    mask_fetch : {"once", "charged"}
        ``once``: every mask word reaches the array once a tile, as the authors account for it;
        ``charged``: what the PEs' prediction buffers cannot keep is read again through the
        prediction GLB's port whenever the order of the groups needs it, and beats wait for it. In
        the published order its words are counted in both.
    windows : {"split", "refuse"}
        What to do with windows (5x5, say) over `pe.main_ifmap_words`: cut them into rows of taps,
        or refuse them; the authors' model has no mapping for them.
    overlap_prediction : bool
        Whether a block's first prediction runs on the adders that the main phase before it leaves
        idle; they are the same adders, so what it hides is an upper bound.
    skip_zero_ternary : bool
        Whether zero ternary weights take no adder in prediction.
    prediction_sums : {"registers", "pads", "free"}
        Where a PE's running sums are while it predicts. ``registers``: in as many bits of registers
        as the pad of `pe.main_ifmap_words` has, where they fit, else in that pad, behind its ports;
        ``pads``: always in the pad; ``free``: they cost nothing, as published.
    requantise : {"compare", "mac", "free"}
        How a predictor's sum becomes a keep bit and a 4-bit activation. ``compare``: by comparisons
        with thresholds on the narrow adders; ``mac``: by a multiplication for each; ``free``: in no
        time, as published (its energy is a multiplication's).
    index_bits, value_bits : int
        Bits of one fused weight in the stream.
    group_count_bits : int
        Bits of each group's number of candidates in the stream; 0: something else tells the PEs
        where a group ends.
    technology : str
        Energies of actions, by name or as a TOML file.
    energy_rules : {"consistent", "ics21"}
        How energy is counted: by one set of rules, or as published, for ``ideal`` fidelity
        (docs/energy.md).
    fused_density, survival : float
        In ``ideal`` fidelity, which knows no weights or masks, the energy is that of this share of
        non-zero fused weights, and of this share of them surviving.
    """

    #: Parameters of `ideal` fidelity for what `cycle` fidelity counts.
    ideal_only: ClassVar[tuple[str, ...]] = ("fused_density", "survival")

    needs: ClassVar[Needs] = {
        "group_order": ("main_order", ("mapped",)),
        "mapping": ("main_order", ("mapped",)),
    }
    #: What the published order of the main phase is, may be said.
    means_nothing: ClassVar[Mapping[str, object]] = {
        "group_order": "published",
        "mapping": "search",
    }

    clock_mhz: Rate
    pe: PeSpec
    glb: BufferSpec
    prediction_glb: BufferSpec
    dram: DramSpec
    dma: DmaSpec
    lane_order: Literal["rotate", "fixed"] = "rotate"
    skip_empty_groups: bool = False
    bias_terms: Literal["timed", "untimed"] = "timed"
    prediction_order: Literal["layer", "channel"] = "layer"
    weights: Literal["stream", "cache"] = "stream"
    main_order: Literal["published", "mapped"] = "mapped"
    mapping: str = "search"
    group_order: Literal["published", "balanced", "profiled"] = "balanced"
    mask_fetch: Literal["once", "charged"] = "charged"
    windows: Literal["split", "refuse"] = "split"
    overlap_prediction: bool = False
    skip_zero_ternary: bool = False
    prediction_sums: Literal["registers", "pads", "free"] = "registers"
    requantise: Literal["compare", "mac", "free"] = "compare"
    index_bits: Size
    value_bits: Count
    group_count_bits: Size = 0
    technology: str = "45nm"
    energy_rules: Literal["consistent", "ics21"] = "consistent"
    fused_density: Share = 0.012
    survival: Share = 0.5
