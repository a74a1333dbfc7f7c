"""Area of what ARCHON needs and nobody published: our estimates, from the published parts.

The timing assumes more than the authors' PE holds (docs/buildable.md). Each estimate scales a part
that they did publish: bits of registers like those of the FIFO, which is the cheapest of its kind,
ways of a multiplexer like the published 16-bit one. Wires are not counted.
"""

from __future__ import annotations

from math import ceil, log2

from archonsim.machines.archon.spec import PeSpec
from archonsim.spec.parts import WORD_BITS
from archonsim.spec.resources import AreaPart, area_table

#: Bits of a lane's sum, and of one FIFO of the published area (ICS'21).
SUM_BITS = 20
FIFO_BITS = 5 * WORD_BITS
#: Words of the published psum pad.
PSUM_WORDS = 32


def open_groups(pe: PeSpec) -> int:
    """Groups for which a lane may hold a partial sum: those in its FIFO, and one on either side."""
    return pe.fifo_depth + 2


def unpublished_parts(pe: PeSpec, *, registers: bool) -> tuple[AreaPart, ...]:
    """List our estimates, all of them in each PE.

    Parameters
    ----------
    pe : PeSpec
    registers : bool
        Whether predictions keep their sums in registers.
    """
    published = area_table()["archon"]
    bit = published["pe_adder"]["adder_fifo"] / FIFO_BITS
    two_ways = published["pe_adder"]["mux_"]
    tag_bits = ceil(log2(open_groups(pe)))
    # A FIFO entry takes its value from one of as many places as candidates reach the lane in a
    # beat; a lookup chooses one bit of the prediction buffer.
    entry_ways = (pe.candidates_per_adder - 1) * pe.adders * pe.fifo_depth
    mask_ways = pe.beat_width * (pe.prediction_buffer_words * WORD_BITS - 1)
    areas = {
        "open_group_sums": pe.adders * open_groups(pe) * SUM_BITS * bit,
        "fifo_tags": pe.adders * pe.fifo_depth * tag_bits * bit,
        "fifo_write_ports": entry_ways * two_ways,
        "mask_select": mask_ways * two_ways / WORD_BITS,
    }
    if registers:
        areas["prediction_sums"] = pe.main_ifmap_words * WORD_BITS * bit
    if pe.psum_pads == "double":
        areas["second_psum_spad"] = published["pe"]["psum_spad"] * pe.psum_words / PSUM_WORDS
    return tuple(
        AreaPart(
            component=name,
            area_um2=round(area, 2),
            instances=pe.count,
            in_pe=True,
            counted=False,
            estimate=True,
        )
        for name, area in areas.items()
    )
