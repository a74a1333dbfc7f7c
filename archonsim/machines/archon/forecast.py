"""What a run on ARCHON will take: from shapes and numbers of non-zero weights, without fusing.

Candidates are exact: each non-zero weight of PW2 times the non-zero weights, shifts and clip terms
behind it.
Beats take the mean number n of candidates of a group: ``max(1, n / width + 1/2)`` of them, as most
groups do not fill their last beat. Events follow from tiles and chunks. The rest are constants,
measured (own decision; docs/forecast.md says how well they do).
"""

from __future__ import annotations

import numpy as np

from archonsim.dataflow.tile import output_tiles
from archonsim.machines.archon.fixed import fixed_phases
from archonsim.machines.archon.residency import Step, steps
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.network.block import Block
from archonsim.network.workload import Workload
from archonsim.spec.parts import WORD_BITS
from archonsim.stats.work import Work
from archonsim.trace.tensors import Trace

#: Events of a phase, of a tile, and of a chunk of the stream.
PHASE_EVENTS, TILE_EVENTS, CHUNK_EVENTS = 4, 6, 1

#: Bytes that a candidate, a beat, a group and a chunk take while a block runs; of a group, those
#: that stay.
CANDIDATE_BYTES, BEAT_BYTES, GROUP_BYTES, CHUNK_BYTES = 4, 16, 260, 80
KEPT_GROUP_BYTES = 90

#: Seconds a candidate and a beat of a tile (64 PEs), an event, a candidate and a group of a block,
#: and a phase, on an idle core; masks are read in so many seconds a MAC of the two predictors.
CANDIDATE_SECONDS, BEAT_SECONDS, EVENT_SECONDS = 25e-9, 100e-9, 1.5e-6
FUSE_SECONDS, GROUP_SECONDS, PHASE_SECONDS = 5e-9, 0.5e-6, 2e-3
MASK_SECONDS = 2e-9


def fused_candidates(block: Block, trace: Trace) -> int:
    """Count the fused weights, bias and clip terms of a block that are not zero."""
    one, two, three = (trace.layer(layer.name) for layer in block.layers)
    late = block.order == "pw-pw-dw"
    dw, pw2 = (three, two) if late else (two, three)
    behind = np.count_nonzero(one.weight.reshape(len(one.weight), -1), axis=1)
    end1, end2 = (end > 0 for end in block.clips)
    behind = behind + (one.shift != 0) + end1
    taps = np.count_nonzero(dw.weight.reshape(len(dw.weight), -1), axis=1)
    if not late:
        behind = behind * taps + (two.shift != 0) + end2
    reads = np.array(block.pw2_reads)
    live = pw2.weight.reshape(block.groups, block.out_channels // block.groups, -1) != 0
    each = np.einsum("gom,gm->go", live, behind[reads].reshape(block.groups, -1)).ravel()
    return int(((each + (two.shift != 0) + end2) * taps).sum() if late else each.sum())


def block_groups(block: Block) -> int:
    """Count a block's groups, those of bias and clip terms as if none were empty."""
    late, taps = block.order == "pw-pw-dw", block.taps
    first, second = (end > 0 for end in block.clips)
    bias = taps + (not late) + taps * first + (taps if late else 1) * second
    return block.fused_inputs * taps + block.out_channels * bias


def _events(tiles: int, chunks: int) -> int:
    return PHASE_EVENTS + TILE_EVENTS * tiles + CHUNK_EVENTS * chunks


def block_work(step: Step, block: Block, spec: ArchonSpec, trace: Trace) -> Work:
    """Forecast one image of a fused block."""
    candidates, groups = fused_candidates(block, trace), block_groups(block)
    tiles = sum(1 for _ in output_tiles(block.dw, spec.pe.rows, spec.pe.cols))
    mean = candidates / groups
    beats = round(groups * max(1.0, mean / spec.pe.beat_width + 0.5))
    bits = candidates * (spec.index_bits + spec.value_bits) + groups * spec.group_count_bits
    # A chunk is of whole groups.
    in_chunk = -(-spec.dma.chunk_words * WORD_BITS * groups // max(1, bits))
    chunks = -(-groups // max(1, in_chunk))
    fixed = [len(phase.tiles) for phase in fixed_phases(step, spec, trace)]
    events = _events(tiles, tiles * chunks) + sum(_events(count, count) for count in fixed)
    words = -(-spec.pe.count // 64)
    of_tiles = tiles * words * (candidates * CANDIDATE_SECONDS + beats * BEAT_SECONDS)
    macs = block.layers[0].macs + block.layers[1].macs
    stream = candidates * CANDIDATE_BYTES + beats * BEAT_BYTES + chunks * CHUNK_BYTES
    return Work(
        name=block.name,
        candidates=candidates,
        beats=beats * tiles,
        events=events,
        kept_bytes=groups * KEPT_GROUP_BYTES + stream,
        peak_bytes=stream + groups * GROUP_BYTES,
        seconds=of_tiles
        + candidates * FUSE_SECONDS
        + groups * GROUP_SECONDS
        + events * EVENT_SECONDS
        + 3 * PHASE_SECONDS
        + macs * MASK_SECONDS,
    )


def forecast(workload: Workload, spec: ArchonSpec) -> list[Work]:
    """Forecast one image, step by step; SpecError where a tile does not fit, as of the run."""
    trace = workload.trace
    assert trace is not None
    found = []
    for step in steps(workload, spec.glb.words):
        item = step.item
        if isinstance(item, Block):
            found.append(block_work(step, item, spec, trace))
            continue
        tiles = sum(len(phase.tiles) for phase in fixed_phases(step, spec, trace))
        events = _events(tiles, tiles)
        seconds = PHASE_SECONDS + events * EVENT_SECONDS
        found.append(Work(name=item.name, events=events, seconds=seconds))
    return found
