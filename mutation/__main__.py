"""Try mutants of the core: ``python -m mutation [MODULE ...] --share 1`` (``make mutants``).

Mutants are cosmic-ray's (extra ``mutation``). Which tests must kill those of a module says
modules.toml; what was measured last is results.csv; why a mutant may survive says survivors.toml.
Exit code 1: of some module too few are killed, or a survivor has no reason.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from mutation.record import (
    LEAST_SHARE,
    PAGE,
    Module,
    Row,
    as_toml,
    known_survivors,
    modules,
    rows,
    with_summary,
    write_rows,
)

if TYPE_CHECKING:
    from mutation.mutants import Mutant

#: Mutants tried of a module, at least, where it has so many.
LEAST = 20
#: CPU seconds of a trial: so many times what the tests take without a mutant, and some.
PATIENCE, GRACE = 2, 2
#: Survivors of the last run, for ``--again``.
LAST = Path("build") / "mutation"
console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def try_mutants(module: Module, tried: list[Mutant]) -> list[Mutant]:
    """Run a module's tests with each mutant; return those that survive."""
    from mutation.trial import Outcome, attempt, seconds_of, warm_up

    os.environ["ARCHONSIM_FEWER_EXAMPLES"] = str(module.fewer)
    warm_up(module.tests)
    seconds = seconds_of(module.tests)
    known = known_survivors(str(module.path))
    console.print(f"{module.path}: {len(tried)} mutants; tests take {seconds:.1f} s")
    begin = time.monotonic()
    survivors = []
    for mutant in tried:
        outcome = attempt(module.path, mutant.source, module.tests, PATIENCE * seconds + GRACE)
        if outcome is Outcome.SURVIVED:
            survivors.append(mutant)
            mark = "known" if mutant.key in known else "NEW"
            console.print(f"  {mark} {mutant.function}: {mutant.was}\n    -> {mutant.now}")
        elif mutant.key in known:
            console.print(f"  killed, but in survivors.toml: {mutant.key}")
    took = time.monotonic() - begin
    console.print(f"  killed {len(tried) - len(survivors)} of {len(tried)} in {took:.0f} s")
    return survivors


def try_module(module: Module, share: float, again: bool) -> tuple[Row, list[str]]:
    """Try mutants of a module; return its row and its survivors that have no reason, as TOML."""
    from mutation.mutants import mutants, sample

    name = str(module.path)
    last = LAST / f"{name.replace('/', '.')}.json"
    every = mutants(module.path.read_text("utf-8"))
    tried = sample(every, share, LEAST)
    count = len(tried)
    if again:
        kept = {tuple(key) for key in json.loads(last.read_text("utf-8"))}
        tried = [mutant for mutant in tried if mutant.key in kept]
    survivors = try_mutants(module, tried)
    last.parent.mkdir(parents=True, exist_ok=True)
    last.write_text(json.dumps([mutant.key for mutant in survivors]), "utf-8")
    known = known_survivors(name)
    for key in sorted(set(known) - {mutant.key for mutant in every}):
        console.print(f"  no longer a mutant, but in survivors.toml: {key}")
    equivalent = sum(known.get(mutant.key, "").startswith("equivalent") for mutant in survivors)
    row = Row(name, len(every), count, count - len(survivors), equivalent)
    return row, [as_toml(name, one.key) for one in survivors if one.key not in known]


def main() -> int:
    """Try the modules that are asked for, and write their figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("module", nargs="*", help="such as archonsim/pe/deal_kernel.py")
    parser.add_argument(
        "--share", type=float, default=0, help=f"of each module's mutants; {LEAST} at least"
    )
    parser.add_argument("--again", action="store_true", help="only what survived the last run")
    given = parser.parse_args()
    if importlib.util.find_spec("cosmic_ray") is None:
        console.print("mutants need cosmic-ray: pip install 'archonsim[mutation]'")
        return 2
    every = {str(module.path): module for module in modules()}
    if unknown := sorted(set(given.module) - set(every)):
        console.print(f"unknown module {unknown[0]!r}; modules.toml has {', '.join(every)}")
        return 2
    # Kernels stay Python, and property tests try the same examples each time.
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    unexplained = []
    for name in given.module or every:
        row, new = try_module(every[name], given.share, given.again)
        unexplained += new
        table = {**{one.module: one for one in rows()}, name: row}
        write_rows([table[module] for module in every if module in table])
        PAGE.write_text(with_summary(PAGE.read_text("utf-8"), rows()), "utf-8", newline="\n")
    tried, killed = sum(row.tried for row in rows()), sum(row.killed for row in rows())
    console.print(f"killed {killed} of {tried} mutants: {100 * killed / tried:.1f} %")
    low = [row.module for row in rows() if row.share < LEAST_SHARE]
    if low:
        console.print(f"fewer than {LEAST_SHARE:.0%} are killed in {', '.join(low)}")
    if unexplained:
        console.print("survivors without a reason in survivors.toml:")
        console.print("\n".join(unexplained))
    return 1 if low or unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
