"""Numba kernel: one phase, event by event, without SimPy.

The definition is :mod:`~archonsim.engine.pipeline`. Two processes share a phase, the DMA that works
through its list and the array, and each waits for one event at a time. So the queue of events is a
short list, and each process a place to go on from. Events of one cycle happen in the order in which
they were scheduled, as SimPy's do: who reserves a port first is the same, and so is every time.

A tile of the accumulate stage needs its survivors when it begins: `advance` returns then, and goes
on when it is called again.
"""

from __future__ import annotations

import numpy as np

from archonsim.engine import dma_kernel as d
from archonsim.engine.dma_kernel import move, schedule
from archonsim.kernels import njit
from archonsim.memory.server_kernel import READ, WRITE, reserve
from archonsim.pe.accumulate_kernel import NOW, RETIRE, WAITED, send

#: What the array waits for; a tile that BEGINS, and the END, are the caller's.
LOADS, BEGINS, NEXT, CHUNK, FINISHED, STORES, LAST_STORES, END = range(8)
#: Columns of an operand: server, stream, words of a tile; of the units of a tile, those that are
#: fetched ahead; whether it comes with the masks, or else not before which cycle; its stall.
O_SERVER, O_STREAM, O_WORDS, O_UNITS, O_AHEAD, O_MASK, O_FROM, O_STALL = range(8)
#: Its scratchpad: whether it was used before, since and until when.
O_USED, O_SINCE, O_UNTIL = range(8, 11)
OPERAND_COLUMNS = 11
#: Partial sums come from one server and leave for another, whose row is the last one.
PSUM, SPILL = 3, 4
#: Columns of a stop; then, for each operand, how many of its tiles are fetched.
S_BEAT, S_SPILL, S_FETCH = range(3)
#: Stalls of a beat.
BY_DRAM, BY_GLB, BY_MASKS = range(3)


@njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _begin_step(at, stop, masks, arrival, free, operands, memory):  # type: ignore[no-untyped-def]
    """Fetch what a step needs; return when the last of it is there, and which stall that is."""
    if masks:
        at[d.MASKS_THERE] = max(at[d.MASKS_THERE], arrival)
    if stop[S_SPILL]:
        one, stream = operands[SPILL, O_SERVER], operands[SPILL, O_STREAM]
        words = operands[PSUM, O_WORDS]
        if words:
            reserve(memory, one, stream, words, free, WRITE)
    ready, stall = 0, -1
    for i in range(SPILL):
        times = stop[S_FETCH + i]
        if not times or operands[i, O_SERVER] < 0:
            continue
        words = times * operands[i, O_WORDS]
        ahead = words * operands[i, O_AHEAD] // operands[i, O_UNITS]
        there = at[d.MASKS_THERE] if operands[i, O_MASK] else operands[i, O_FROM]
        if operands[i, O_USED]:
            operands[i, O_UNTIL] = max(operands[i, O_UNTIL], free)
        else:
            operands[i, O_SINCE] = operands[i, O_UNTIL] = at[d.START]
            operands[i, O_USED] = 1
        came = there
        for late in range(2):
            part = words - ahead if late else ahead
            if part:
                since = max(operands[i, O_UNTIL] if late else operands[i, O_SINCE], there)
                one, stream = operands[i, O_SERVER], operands[i, O_STREAM]
                _, _, arrives = reserve(memory, one, stream, part, since, READ)
                came = max(came, arrives)
        operands[i, O_SINCE] = operands[i, O_UNTIL]
        if came > ready or (came == ready and operands[i, O_STALL] > stall):
            ready, stall = came, operands[i, O_STALL]
    return ready, stall


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _fed_chunk(at, constants, program, chunk, stream, memory):  # type: ignore[no-untyped-def]
    """Send a chunk's beats, step by step; ``stream`` is its arrival and its source's stall.

    `program` is what `advance` takes; returns the cycle after the last push.
    """
    beats, first_beat, stops, masks, operands, table, fifos, totals, waits, deep = program
    arrival, cause = stream
    first, last = np.int64(first_beat[chunk]), np.int64(first_beat[chunk + 1])
    ready, stall = 0, -1
    while True:
        stop = at[d.STOP]
        more = stop < len(stops) and stops[stop, S_BEAT] < last
        until = stops[stop, S_BEAT] if more else last
        if until > first or not more:
            before = totals[WAITED]
            for_stream = max(0, arrival - totals[NOW] - 1)
            there, span = max(arrival, ready), (first, until)
            send(table, beats, span, there, constants[d.DEPTH], fifos, totals, deep)
            waited = totals[WAITED] - before
            for_stream = min(for_stream, waited)
            waits[cause] += for_stream
            waits[BY_MASKS if stall == BY_MASKS else BY_GLB] += waited - for_stream
            first, ready, stall = until, 0, -1
        if not more:
            return totals[NOW] + 1
        free = totals[NOW] + 1
        came, of = _begin_step(at, stops[stop], masks[stop], arrival, free, operands, memory)
        if came > ready or (came == ready and of > stall):
            ready, stall = came, of
        at[d.STOP] += 1


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _waits_no_more(at, happened, tile, what, dram):  # type: ignore[no-untyped-def]
    """Whether a tile's loads or stores are over; then charge what the array waited for them."""
    if not happened[tile, what]:
        return False
    now, before = at[d.CLOCK], at[d.SINCE]
    for_dram = max(0, min(happened[tile, dram], now) - before)
    at[d.WAIT_DRAM] += for_dram
    at[d.WAIT_GLB] += now - before - for_dram
    return True


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _next_chunk(state, given, program, causes, memory):  # type: ignore[no-untyped-def]
    """Run the tile's next chunk, or finish the tile, as soon as its stream is there."""
    at, queue, _, arrivals, _ = state
    constants, tiles, _, words, _, _ = given
    tile, chunk, now = at[d.TILE], at[d.CHUNK], at[d.CLOCK]
    if chunk == tiles[tile, d.CHUNKS]:
        if constants[d.FED]:
            totals = program[7]
            last = max(totals[NOW], totals[RETIRE] + constants[d.GROUPS] - 1)
            at[d.END] = last + 1 + constants[d.HAND_OVER]
        at[d.ARRAY] = FINISHED
        schedule(at, queue, at[d.END], d.FINISH, d.NO_VALUE)
        return
    streamed = words[tiles[tile, d.FIRST] + chunk] > 0
    if streamed and at[d.TAKEN] == at[d.SENT]:
        at[d.ASLEEP] = d.THE_ARRAY
        return
    arrival, rank, over = now, tiles[tile, d.S_RANK], at[d.END]
    if streamed:
        place = at[d.TAKEN] % len(arrivals)
        arrival, rank = arrivals[place, 0], arrivals[place, 1]
        at[d.TAKEN] += 1
    if constants[d.FED]:
        over = _fed_chunk(at, constants, program, chunk, (arrival, causes[rank]), memory)
    at[d.ARRAY], at[d.CHUNK] = CHUNK, chunk + 1
    schedule(at, queue, over, d.OVER, 1 if streamed else 0)
    if streamed:
        at[d.RELEASED] += 1
        if at[d.ASLEEP] == d.THE_DMA:
            at[d.ASLEEP] = d.NOBODY
            schedule(at, queue, now, d.WAKE, d.THE_DMA)


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _compute(state, given, program, causes, memory):  # type: ignore[no-untyped-def]
    """Let the array go on until it has to wait; return whether its next tile needs the caller."""
    at, queue, happened, _, _ = state
    constants, tiles, _, _, _, _ = given
    now, buffers = at[d.CLOCK], constants[d.BUFFERS]
    while True:
        tile = at[d.TILE]
        if at[d.ARRAY] == LOADS:
            if not _waits_no_more(at, happened, tile, d.IS_LOADED, d.LOADED_DRAM):
                return False
            at[d.ARRAY], at[d.CHUNK] = BEGINS, 0
            if constants[d.FED]:
                return True
            at[d.END] = now + tiles[tile, d.CYCLES]
        if at[d.ARRAY] == BEGINS or at[d.ARRAY] == NEXT:
            at[d.ARRAY] = NEXT
            _next_chunk(state, given, program, causes, memory)
            return False
        if at[d.ARRAY] == FINISHED:
            at[d.ARRAY], at[d.SINCE] = STORES, now
        if at[d.ARRAY] == STORES:
            before = tile - buffers + 1
            if before >= 0 and not _waits_no_more(at, happened, before, d.IS_STORED, d.STORED_DRAM):
                return False
            schedule(at, queue, now, d.DONE, tile)
            at[d.TILE], at[d.SINCE] = tile + 1, now
            at[d.ARRAY] = LAST_STORES if tile + 1 == constants[d.TILES] else LOADS
        if at[d.ARRAY] == LAST_STORES:
            if _waits_no_more(at, happened, at[d.TILE] - 1, d.IS_STORED, d.STORED_DRAM):
                at[d.ARRAY] = END
                schedule(at, queue, now, d.PHASE_ENDS, d.NO_VALUE)
            return False


@njit(cache=True, error_model="numpy")
def advance(state, given, program, causes, memory):  # type: ignore[no-untyped-def]
    """Let events happen until a tile begins that needs the caller, or until the phase ends.

    Parameters
    ----------
    state, given, memory : as :func:`archonsim.engine.dma_kernel.move` takes them
    program : tuple
        Beats as :func:`archonsim.pe.accumulate_kernel.send` takes them; first beat of each chunk;
        stops (n, 6) and which of them masks from DRAM come with; operands (5, OPERAND_COLUMNS);
        table, FIFOs and totals of the running tile; its cycles of waiting by stall (3,); `deep`.
    causes : (n,) int64
        Stall of a beat that waits for a chunk, by the rank of the chunk's source.
    """
    at, queue, happened, _, _ = state
    goes_on = at[d.ARRAY] == BEGINS
    while True:
        if goes_on and _compute(state, given, program, causes, memory):
            return
        goes_on = False
        at[d.QUEUED] -= 1
        place = at[d.QUEUED]
        now, event, value = queue[place, 0], queue[place, 1], queue[place, 2]
        at[d.CLOCK] = now
        at[d.EVENTS] += 1
        if event == d.PHASE_ENDS:
            return
        moves_on = event == d.START_DMA
        if event == d.LOADING:
            schedule(at, queue, now, d.LOADED, value)
        elif event == d.STORING:
            schedule(at, queue, now, d.STORED, value)
        elif event == d.LOADED:
            happened[value, d.IS_LOADED] = 1
            goes_on = at[d.ARRAY] == LOADS and at[d.TILE] == value
        elif event == d.STORED:
            happened[value, d.IS_STORED] = 1
            goes_on = (at[d.ARRAY] == STORES and at[d.TILE] - value + 1 == given[0][d.BUFFERS]) or (
                at[d.ARRAY] == LAST_STORES and at[d.TILE] == value + 1
            )
        elif event == d.DONE:
            happened[value, d.IS_DONE] = 1
            moves_on = at[d.DMA] == d.TILE_DONE and at[d.FOR_TILE] == value
        elif event == d.WAKE:
            moves_on, goes_on = value == d.THE_DMA, value == d.THE_ARRAY
        elif event == d.OVER:
            at[d.ARRAY] = NEXT
            at[d.FREE] += value
            moves_on = value == 1 and at[d.DMA] == d.PLACE and at[d.REUSED] == at[d.FREE]
            goes_on = True
        elif event == d.FINISH or event == d.START_ARRAY:
            goes_on = True
        if moves_on:
            # The array waited for this end of a chunk before the DMA did.
            if goes_on:
                _compute(state, given, program, causes, memory)
                goes_on = False
            move(state, given, memory)
