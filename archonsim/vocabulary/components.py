"""Components that act, move data and cost energy: memories, and other parts."""

from __future__ import annotations

from dataclasses import dataclass

from archonsim.vocabulary.words import Word

#: What a memory does.
ACCESSES = ("read", "write")


@dataclass(frozen=True, kw_only=True)
class Component(Word):
    """A memory, whose accesses are counted in 16-bit words, or a part that does things.

    Attributes
    ----------
    actions : tuple of str
        What a part does, such as ``multiply``; ``read`` and ``write`` of a memory need not be said.
    memory : bool
        Whether it is a memory; its title stands in names of ports.
    """

    actions: tuple[str, ...] = ()
    memory: bool = False

    def __post_init__(self) -> None:
        """Fill in what is left out."""
        Word.__post_init__(self)
        if self.memory and not self.actions:
            object.__setattr__(self, "actions", ACCESSES)


@dataclass(frozen=True, kw_only=True)
class Buffer(Component):
    """An on-chip memory of a machine's description, of the same name there.

    Attributes
    ----------
    holds : tuple of str
        Kinds of data that may pass its ports; empty for all.
    owner : str
        Who owns, in a waterfall, the time that its ports take. Any other than ``ports`` stands for
        delivery, of masks say, and its ports count from that owner's step on.
    """

    memory: bool = True
    holds: tuple[str, ...] = ()
    owner: str = "ports"


def _memory(name: str, order: int, meaning: str, title: str = "") -> Component:
    return Component(name=name, title=title or name, order=order, meaning=meaning, memory=True)


def _part(name: str, order: int, meaning: str, *actions: str) -> Component:
    return Component(name=name, title=name, order=order, meaning=meaning, actions=actions)


#: Memories from the outside in, then what works on their data. Energies of `ifmap_sram`,
#: `filter_sram`, `ofmap_sram` and `pe_registers`, those of systolic arrays, are not published.
COMPONENTS: tuple[Component, ...] = (
    _memory("dram", 10, "off-chip memory"),
    _memory("glb", 20, "global buffer"),
    _memory("prediction_glb", 30, "global buffer of ReLU masks", "pred. GLB"),
    _memory("ifmap_sram", 40, "input memory at an array's edge"),
    _memory("filter_sram", 50, "weight memory at an array's edge"),
    _memory("ofmap_sram", 60, "output memory at an array's edge"),
    _memory("prediction_buffer", 70, "keep bits in a PE"),
    _memory("ifmap_spad", 80, "input scratchpad of a PE"),
    _memory("weight_spad", 90, "weight scratchpad of a PE"),
    _memory("psum_spad", 100, "partial-sum scratchpad of a PE"),
    _memory("pe_registers", 110, "registers through which a PE hands on operands"),
    _part("mac", 120, "multiply-accumulate unit", "multiply"),
    _part("adders", 130, "adders of a PE", "add", "narrow_add"),
    _part("adder_fifo", 140, "FIFOs in front of adders", "push", "pop"),
    _part("bit_masks_and", 150, "logic that combines keep bits", "process"),
    _part("mux_", 160, "multiplexer of keep bits", "process"),
    _part("mux", 170, "multiplexers of inputs", "process"),
    _part("binary_decoder", 180, "decoder of fused weights' positions", "process"),
)
