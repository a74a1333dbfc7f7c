"""The dense baseline's description: what the preset, a TOML file and ``--set`` may say."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from archonsim.dataflow.hierarchy import Hierarchy, Storage
from archonsim.spec.effect import Needs
from archonsim.spec.parts import CONFIG, BufferSpec, Count, DramSpec, PrefetchSpec, Rate
from archonsim.spec.technology import load_technology


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class RowStationaryPe:
    """The PE array and the scratchpads of one PE.

    Attributes
    ----------
    rows, cols : int
        PEs along the axes Y and X of a mapping.
    ifmap_words, weight_words, psum_words : int
        Scratchpads, in 16-bit words.
    pad_writes_per_cycle : int
        Ports of each scratchpad, in words.
    """

    rows: Count
    cols: Count
    ifmap_words: Count
    weight_words: Count
    psum_words: Count
    pad_writes_per_cycle: Count

    @property
    def count(self) -> int:
        """Number of PEs."""
        return self.rows * self.cols


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class RowStationarySpec:
    """The whole machine.

    Attributes
    ----------
    clock_mhz : float
    pe : RowStationaryPe
    glb : BufferSpec
        Holds inputs and outputs; weights bypass it.
    dram : DramSpec
    dma : PrefetchSpec
    mapping : str
        ``search``: the mapper's; ``ics21``: the authors' own; or a mapping file (``.toml``,
        ``.json``).
    space : {"published", "free"}
        What the mapper searches: ``published`` keeps P, R and S of a layer whole, as ICS'21 did;
        ``free`` lets DRAM split them.
    technology : str
        Energies of actions, by name or as a TOML file.
    energy_rules : {"consistent", "ics21"}
        How energy is counted: by one set of rules, or with the published energies' inconsistencies
        (docs/energy.md).
    """

    needs: ClassVar[Needs] = {"space": ("mapping", ("search",))}

    clock_mhz: Rate
    pe: RowStationaryPe
    glb: BufferSpec
    dram: DramSpec
    dma: PrefetchSpec
    mapping: str = "search"
    space: Literal["published", "free"] = "published"
    technology: str = "45nm"
    energy_rules: Literal["consistent", "ics21"] = "consistent"

    def hierarchy(self) -> Hierarchy:
        """Return the storage levels that a mapping runs on."""
        technology, pe = load_technology(self.technology), self.pe
        ported = self.glb.model != "unlimited"

        def storage(
            name: str,
            keeps: tuple[str, ...],
            words: int | None,
            reads: int | None,
            writes: int | None,
        ) -> Storage:
            # A mapping is chosen by one energy an access, the larger one.
            access_pj = max(
                technology.access_pj(name, action, words or 1) for action in ("read", "write")
            )
            return Storage(
                name=name,
                keeps=keeps,
                words=words,
                block_words=technology.memory(name).access_words,
                access_pj=access_pj,
                read_words_per_cycle=reads,
                write_words_per_cycle=writes,
            )

        def pad(name: str, kind: str, words: int) -> Storage:
            # One word read for each MAC: no number of read ports (2 as published) can limit.
            return storage(name, (kind,), words, None, pe.pad_writes_per_cycle)

        glb_ports = (
            (self.glb.read_words_per_cycle, self.glb.write_words_per_cycle)
            if ported
            else (None, None)
        )
        return Hierarchy(
            levels=(
                storage("dram", ("weight", "input", "output"), None, None, None),
                storage("glb", ("input", "output"), self.glb.words, *glb_ports),
                Storage(name="array"),
                pad("ifmap_spad", "input", pe.ifmap_words),
                pad("weight_spad", "weight", pe.weight_words),
                pad("psum_spad", "output", pe.psum_words),
            ),
            cols=pe.cols,
            rows=pe.rows,
            mac_pj=technology.action_pj("mac", "multiply"),
        )
