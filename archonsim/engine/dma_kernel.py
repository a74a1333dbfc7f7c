"""Numba kernel: the DMA of one phase, from one event to the next.

The definition is ``PhaseRun._move`` of :mod:`~archonsim.engine.pipeline`, with the list of
:mod:`~archonsim.engine.dma_order`. Here, too, stand the columns of all tables of a compiled pass.
"""

from __future__ import annotations

import numpy as np

from archonsim.kernels import njit
from archonsim.memory.server_kernel import READ, WRITE, reserve

#: Where a phase is (`at`), one number each. The clock, the queue of events, and how many happened:
CLOCK, QUEUED, EVENTS = 0, 1, 2
#: the array: what it waits for, its tile and chunk, since when, and the end of a tile of fixed
#: time;
ARRAY, TILE, CHUNK, SINCE, END = 3, 4, 5, 6, 7
#: the DMA: what it waits for, and which tile; its place in the list; its request;
DMA, FOR_TILE, STAGE, INDEX, COUNT, PART = 8, 9, 10, 11, 12, 13
WHAT, R_TILE, PIECE, OF = 14, 15, 16, 17
#: the stream's buffer: chunks sent, taken, their places given back, taken again, and free; whether
#: the DMA or the array sleeps;
SENT, TAKEN, RELEASED, REUSED, FREE, ASLEEP = 18, 19, 20, 21, 22, 23
#: the controller's write queue: entries, their words, and when the last was safe;
HELD, HELD_WORDS, DRAINED = 24, 25, 26
#: cycles in which the array waited for DRAM and for on-chip ports; the phase's start;
WAIT_DRAM, WAIT_GLB, START = 27, 28, 29
#: the accumulate stage: its next stop, and since when the masks of its step are there.
STOP, MASKS_THERE = 30, 31
PLACES = 32

#: What never changes: tiles, their buffers, chunks of the stream's buffer, tiles by which stores
#: are behind, pieces of the first tile's loads, words of a burst, and at which writes are sent;
#: whether tiles are of the accumulate stage, entries of its FIFOs, its groups, and the cycles until
#: the next tile may follow.
TILES, BUFFERS, ROOM, LAG, PIECES, BURST, QUEUE_WORDS, FED, DEPTH, GROUPS, HAND_OVER = range(11)

#: Events, and what one without a value has. These, requests and sleepers have a type: whatever
#: takes a plain int that numba knows is compiled once more for that int.
START_DMA, START_ARRAY, LOADING, LOADED, STORING, STORED, DONE, OVER, FINISH, WAKE = np.arange(10)
DMA_ENDS, PHASE_ENDS, NO_VALUE = np.int64(10), np.int64(11), np.int64(0)
#: What the DMA waits for.
NOTHING, SLEEPS, PLACE, TILE_DONE, NO_MORE = range(5)
#: Requests of its list.
A_CHUNK, LOADS, STORES = np.arange(3)
#: Columns of a transfer.
WORDS, SERVER, STREAM, TO, IN_DRAM = range(5)
#: Columns of a tile: first and last of its loads and stores, first of its chunks, their number,
#: cycles; server (-1: no time) and stream of its stream, rank of its source, first of its `along`.
LOAD, LOAD_END, STORE, STORE_END, FIRST, CHUNKS, CYCLES = range(7)
S_SERVER, S_STREAM, S_RANK, ALONG = 7, 8, 9, 10
TILE_COLUMNS = 11
#: What has happened to a tile: loads and stores are there, and when DRAM was done with them.
IS_LOADED, LOADED_DRAM, IS_STORED, STORED_DRAM, IS_DONE = range(5)
#: Who sleeps.
NOBODY, THE_DMA, THE_ARRAY = np.arange(3)


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def schedule(at, queue, cycle, event, value):  # type: ignore[no-untyped-def]
    """Put an event into the queue, behind those of its cycle; the next one is the last entry."""
    place = at[QUEUED]
    while place and queue[place - 1, 0] <= cycle:
        queue[place, 0], queue[place, 1] = queue[place - 1, 0], queue[place - 1, 1]
        queue[place, 2] = queue[place - 1, 2]
        place -= 1
    queue[place, 0], queue[place, 1], queue[place, 2] = cycle, event, value
    at[QUEUED] += 1


@njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _share(words, piece, of, grain):  # type: ignore[no-untyped-def]
    """Words of a piece; see :meth:`archonsim.engine.dma_order.Request.share`."""
    if of == 1:
        return words
    before = words * piece // of // grain * grain
    return (words if piece + 1 == of else words * (piece + 1) // of // grain * grain) - before


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _flush(at, held, memory):  # type: ignore[no-untyped-def]
    """Send all queued writes to DRAM; return the cycle in which it is done with them."""
    now = at[CLOCK]
    for i in range(at[HELD]):
        _, free, _ = reserve(memory, held[i, 1], held[i, 2], held[i, 0], now, WRITE)
        at[DRAINED] = max(at[DRAINED], free)
    at[HELD] = at[HELD_WORDS] = 0
    return max(now, at[DRAINED])


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _read(at, rows, burst, memory):  # type: ignore[no-untyped-def]
    """Read a piece of a tile's loads; return when DRAM is done with it, and everything."""
    now, piece, of = at[CLOCK], at[PIECE], at[OF]
    first = dram = through = now
    for i in range(len(rows)):
        if rows[i, IN_DRAM]:
            words = _share(rows[i, WORDS], piece, of, burst)
            if words:
                one, stream = rows[i, SERVER], rows[i, STREAM]
                begins, _, there = reserve(memory, one, stream, words, now, READ)
                first, dram = max(first, begins), max(dram, there)
    for i in range(len(rows)):
        if not rows[i, IN_DRAM]:
            words = _share(rows[i, WORDS], piece, of, 1)
            if words:
                one, stream = rows[i, SERVER], rows[i, STREAM]
                _, _, there = reserve(memory, one, stream, words, first, rows[i, TO])
                through = max(through, there)
    return dram, max(dram, through)


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _write(at, rows, constants, memory, held):  # type: ignore[no-untyped-def]
    """Write a piece of a tile's stores; return as `_read` does."""
    now, piece, of = at[CLOCK], at[PIECE], at[OF]
    dram = through = now
    for i in range(len(rows)):
        one, stream = rows[i, SERVER], rows[i, STREAM]
        if rows[i, IN_DRAM]:
            words = _share(rows[i, WORDS], piece, of, constants[BURST])
            if words:
                last = at[HELD]
                held[last, 0], held[last, 1], held[last, 2] = words, one, stream
                at[HELD] += 1
                at[HELD_WORDS] += words
                safe = max(now, at[DRAINED])
                if at[HELD_WORDS] >= constants[QUEUE_WORDS]:
                    safe = _flush(at, held, memory)
                dram = max(dram, safe)
        else:
            words = _share(rows[i, WORDS], piece, of, 1)
            if words:
                _, free, _ = reserve(memory, one, stream, words, now, rows[i, TO])
                through = max(through, free)
    if piece + 1 == of and at[R_TILE] == constants[TILES] - 1:
        dram = max(dram, _flush(at, held, memory))
    return dram, max(dram, through)


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _ask(at, what, tile, piece, of):  # type: ignore[no-untyped-def]
    at[WHAT], at[R_TILE], at[PIECE], at[OF] = what, tile, piece, of
    return True


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _next_request(at, constants, tiles):  # type: ignore[no-untyped-def]
    """Go on to the list's next request, as `dma_order` yields them; return whether there is one."""
    last, lag = constants[TILES] - 1, constants[LAG]
    if at[STAGE] == 0:
        at[COUNT] += 1
        if at[COUNT] <= constants[PIECES]:
            return _ask(at, LOADS, 0, at[COUNT] - 1, constants[PIECES])
        at[STAGE], at[COUNT] = 1, 0
    while at[STAGE] == 1:
        index, chunk, part = at[INDEX], at[COUNT], at[PART]
        if index > last:
            at[STAGE], at[INDEX] = 2, max(0, last - lag + 1)
        elif chunk == tiles[index, CHUNKS]:
            at[INDEX], at[COUNT] = index + 1, 0
        else:
            count = tiles[index, CHUNKS]
            pieces = count - min(constants[ROOM], count) + 1
            piece = chunk - count + pieces
            if part == 2:
                at[COUNT], at[PART] = chunk + 1, 0
                if piece >= 0 and index < last:
                    return _ask(at, LOADS, index + 1, piece, pieces)
            else:
                at[PART] = part + 1
                if part == 0:
                    return _ask(at, A_CHUNK, index, chunk, count)
                if piece >= 0 and index >= lag:
                    return _ask(at, STORES, index - lag, piece, pieces)
    at[INDEX] += 1
    return at[INDEX] <= last + 1 and _ask(at, STORES, at[INDEX] - 1, 0, 1)


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _has_place(at, room):  # type: ignore[no-untyped-def]
    """Whether a chunk has a place in the stream's buffer; if not, the DMA waits for one."""
    if at[DMA] == NOTHING and at[SENT] >= room and at[REUSED] == at[RELEASED]:
        at[ASLEEP], at[DMA] = THE_DMA, SLEEPS
        return False
    if at[DMA] != PLACE and at[SENT] >= room:
        at[REUSED] += 1
        if at[REUSED] > at[FREE]:
            at[DMA] = PLACE
            return False
    at[DMA] = NOTHING
    at[SENT] += 1
    return True


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def move(state, given, memory):  # type: ignore[no-untyped-def]
    """Work through the DMA's list until it has to wait.

    Parameters
    ----------
    state : (at, queue, happened, arrivals, held)
        (PLACES,); (n, 3): cycle, event, value; (tiles, 5); (ROOM, 2): arrival and source's rank of
        chunks in the buffer; (n, 3): words, server, stream of queued writes. All int64.
    given : (constants, tiles, moves, words, along, along_first)
        Tiles, transfers, words of chunks; transfers with chunks, and where those of each begin.
    memory : tuple of arrays
        As :func:`archonsim.memory.server_kernel.reserve` takes it.
    """
    at, queue, happened, arrivals, held = state
    constants, tiles, moves, words, along, along_first = given
    now = at[CLOCK]
    while True:
        if at[DMA] == NOTHING and not _next_request(at, constants, tiles):
            at[DMA] = NO_MORE
            schedule(at, queue, now, DMA_ENDS, NO_VALUE)
            return
        tile, piece, last = at[R_TILE], at[PIECE], at[PIECE] + 1 == at[OF]
        if at[WHAT] == A_CHUNK:
            count = words[tiles[tile, FIRST] + piece]
            if not count:
                continue
            if not _has_place(at, constants[ROOM]):
                return
            arrival, rank, one = now, tiles[tile, S_RANK], tiles[tile, S_SERVER]
            if one >= 0:
                _, _, arrival = reserve(memory, one, tiles[tile, S_STREAM], count, now, READ)
            if tiles[tile, ALONG] >= 0:
                chunk = tiles[tile, ALONG] + piece
                for i in range(along_first[chunk], along_first[chunk + 1]):
                    there, of_rank = now, along[i, IN_DRAM]
                    if along[i, SERVER] >= 0 and along[i, WORDS]:
                        _, _, there = reserve(
                            memory, along[i, SERVER], along[i, STREAM], along[i, WORDS], now, READ
                        )
                    if there > arrival or (there == arrival and of_rank > rank):
                        arrival, rank = there, of_rank
            place = (at[SENT] - 1) % len(arrivals)
            arrivals[place, 0], arrivals[place, 1] = arrival, rank
            if at[ASLEEP] == THE_ARRAY:
                at[ASLEEP] = NOBODY
                schedule(at, queue, now, WAKE, THE_ARRAY)
            continue
        if at[DMA] == NOTHING and piece == 0:
            wanted = tile if at[WHAT] == STORES else tile - constants[BUFFERS]
            if wanted >= 0 and not happened[wanted, IS_DONE]:
                at[DMA], at[FOR_TILE] = TILE_DONE, wanted
                return
        at[DMA] = NOTHING
        if at[WHAT] == LOADS:
            rows = moves[tiles[tile, LOAD] : tiles[tile, LOAD_END]]
            dram, through = _read(at, rows, constants[BURST], memory)
            if last:
                happened[tile, LOADED_DRAM] = dram
                schedule(at, queue, through, LOADING, tile)
        else:
            rows = moves[tiles[tile, STORE] : tiles[tile, STORE_END]]
            dram, through = _write(at, rows, constants, memory, held)
            if last:
                happened[tile, STORED_DRAM] = dram
                schedule(at, queue, through, STORING, tile)
