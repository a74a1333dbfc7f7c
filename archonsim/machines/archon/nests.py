"""Loop nests of ARCHON's phases, for the energy of ``ideal`` fidelity.

Those that ICS'21 simulated, or the mapper's.

Cycles do not come from them: predictions retire several additions a cycle, which a nest of MACs
does not know.
"""

from __future__ import annotations

import tomllib
from contextlib import suppress
from functools import cache
from importlib import resources

from archonsim.dataflow.book import MappingBook, parse_book
from archonsim.dataflow.hierarchy import Hierarchy, Storage
from archonsim.dataflow.mapper import divisors
from archonsim.dataflow.mapping import LevelLoops, Loop, Mapping
from archonsim.dataflow.mapping_cache import best_mapping
from archonsim.dataflow.nest import Cost, evaluate
from archonsim.dataflow.problem import Problem
from archonsim.errors import SpecError
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.spec.technology import load_technology


@cache
def _published() -> MappingBook:
    text = (resources.files("archonsim") / "data" / "mappings" / "ics21_archon.toml").read_text(
        "utf-8"
    )
    return parse_book(tomllib.loads(text), "ICS'21's mappings on ARCHON")


def hierarchy(spec: ArchonSpec, sizes: dict[str, int], *, main: bool) -> Hierarchy:
    """Return the storage levels of a configuration.

    Pads are as large as `sizes` says. The GLB is not limited: ``ideal`` fidelity knows no memory,
    and must not fail for want of it.
    """
    technology = load_technology(spec.technology)

    def storage(name: str, *keeps: str) -> Storage:
        access_pj = max(
            technology.access_pj(name, action, sizes.get(name, 1)) for action in ("read", "write")
        )
        block = technology.memory(name).access_words
        return Storage(
            name=name,
            keeps=keeps,
            words=sizes.get(name) if name.endswith("spad") else None,
            block_words=block,
            access_pj=access_pj,
        )

    pads = [
        storage("ifmap_spad", "input"),
        *([] if main else [storage("weight_spad", "weight")]),
        storage("psum_spad", "output"),
    ]
    return Hierarchy(
        levels=(
            storage("dram", "weight", "input", "output"),
            storage("glb", "input", "output"),
            Storage(name="array"),
            *pads,
        ),
        cols=spec.pe.cols,
        rows=spec.pe.rows,
        mac_pj=technology.action_pj("mac", "multiply"),
    )


@cache
def _problem_nest(problem: Problem, levels: Hierarchy) -> tuple[Problem, Cost, Cost]:
    published = _published().by_shape.get(problem.key)
    if published is not None:
        with suppress(SpecError):  # it does not fit another array, or other pads
            return _costs(problem, published, levels, "published mapping")
    return _costs(problem, best_mapping(problem, levels), levels, "mapping")


def layer_nest(layer: Layer, levels: Hierarchy) -> tuple[Problem, Cost, Cost]:
    """Map a layer as published, where that fits, or by the mapper.

    Returns
    -------
    problem : Problem
    cost, moved : Cost
        With one input map for all channels of a depthwise layer, and with one for each.

    Raises
    ------
    SpecError
        Nothing fits.
    """
    return _problem_nest(Problem.of(layer), levels)


def _costs(
    problem: Problem, mapping: Mapping, levels: Hierarchy, where: str
) -> tuple[Problem, Cost, Cost]:
    cost = evaluate(problem, mapping, levels, where)
    moved = cost if problem.input_maps == 1 else evaluate(problem, mapping, levels, own_inputs=True)
    return problem, cost, moved


def _widest(size: int, limit: int) -> int:
    return max(one for one in divisors(size) if one <= limit)


def main_nest(block: Block, spec: ArchonSpec, levels: Hierarchy) -> tuple[Problem, Cost, Cost]:
    """Map the fused convolution as ICS'21 did: output tiles, then C, then O, the taps innermost.

    Groups are one loop over O, as published. A window that exceeds its pad goes row by row, outside
    O (own decision).
    """
    last, pw1 = block.layers[-1], block.pw1
    problem = Problem(
        c=pw1.in_channels // pw1.groups,
        m=block.out_channels,
        p=last.out_w,
        q=last.out_h,
        r=block.dw.kernel_w,
        s=block.dw.kernel_h,
        stride_w=block.dw.stride_w,
        stride_h=block.dw.stride_h,
    )
    wide, high = _widest(problem.p, spec.pe.cols), _widest(problem.q, spec.pe.rows)
    pad = (
        next(level.words for level in levels.levels if level.name == "ifmap_spad")
        or problem.r * problem.s
    )
    rows = "psum_spad" if problem.r * problem.s <= pad else "glb"
    loops: dict[str, list[Loop]] = {
        "dram": [Loop("Q", problem.q // high)],
        "glb": [Loop("P", problem.p // wide), Loop("C", problem.c)],
        "psum_spad": [],
        "array": [Loop("Q", high, "y")],
    }
    loops[rows].append(Loop("S", problem.s))
    loops["psum_spad"].append(Loop("R", problem.r))
    loops["glb"] += [Loop("M", problem.m), Loop("P", wide, "x")]
    mapping = Mapping(
        tuple(
            LevelLoops(name, tuple(loops[name])) for name in ("dram", "glb", "array", "psum_spad")
        )
    )
    return _costs(problem, mapping, levels, f"block {block.name}")
