"""Ends commands at random moments and looks at what they leave (``make faults``).

A command runs once undisturbed; its files are what is right. Then it is started again and again and
ended after a random share of that time, by SIGKILL, SIGTERM or SIGINT. Whatever file then stands
under its own name must be a whole one, and running the command once more must give all files, byte
by byte, and no others.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).parents[2]
DIGITS = str(ROOT / "workloads" / "fusionet_digits.h5")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
#: Files that say when or where they were made, or that grow while a command runs.
GROWING = ("journal", ".lock")
console = Console(stderr=True)

#: By name: the command; ``{out}`` is a folder of its own.
COMMANDS: dict[str, str] = {
    "run": f"run -a archon -w {DIGITS} -o {{out}}",
    "run several images": f"run -a archon -w {DIGITS} --images all --jobs 2 -o {{out}}",
    "compare": f"compare -a dense,archon -w {DIGITS} -o {{out}}",
    "sweep": f"sweep -a archon -w {DIGITS} --param pe.adders=2..5 -j 1 -o {{out}} --resume",
    "sweep on two processes": (
        f"sweep -a archon -w {DIGITS} --param pe.adders=2..5 -j 2 -o {{out}} --resume"
    ),
    "synthesize": "synthesize fusionet_digits --seed 3 -o {out}/made.h5",
    "report": f"report -a archon -w {DIGITS} -o {{out}}/page.html",
    "plot": f"plot waterfall -a archon -w {DIGITS} -o {{out}}",
}


@dataclass(frozen=True, slots=True)
class Ended:
    """One command that was ended.

    Attributes
    ----------
    name : str
    signal : str
    share : float
        Of its undisturbed time, when it was ended.
    finished : bool
        Whether it was quicker.
    fault : str
        What was wrong afterwards; empty for nothing.
    """

    name: str
    signal: str
    share: float
    finished: bool
    fault: str


def files(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder, by name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def start(name: str, out: Path) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, as a shell does."""
    line = COMMANDS[name].format(out=out)
    return subprocess.Popen(
        [sys.executable, "-m", "archonsim", *line.split()],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def right(name: str) -> tuple[dict[str, bytes], float]:
    """Run a command to its end; return its files and how long it took."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        process = start(name, Path(folder))
        _, said = process.communicate()
        if process.returncode:
            raise RuntimeError(f"{name}: {said.decode(errors='replace')}")
        return files(Path(folder)), time.monotonic() - begun


def settled(found: dict[str, bytes]) -> dict[str, bytes]:
    """Leave out files that grow while a command runs, and hidden ones that are not in place yet."""
    return {
        name: content
        for name, content in found.items()
        if not Path(name).name.startswith(".") and not any(mark in name for mark in GROWING)
    }


def end_once(name: str, whole: dict[str, bytes], seconds: float, chance: random.Random) -> Ended:
    """Start a command, end it at a random moment, look, and run it again."""
    share, number = chance.uniform(0, 1.05), chance.choice(SIGNALS)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        process = start(name, out)
        try:
            _, said = process.communicate(timeout=share * seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            _, said = process.communicate()
        finished = process.returncode == 0
        fault = ""
        # Before `main` runs, Ctrl-C meets Python itself, which knows no other way to say so.
        if b"Traceback" in said and b", in main\n" in said:
            fault = f"a traceback: {said.decode(errors='replace')[-500:]}"
        left = settled(files(out))
        for one, content in left.items():
            if whole.get(one) != content:
                fault = fault or f"{one} is not what an undisturbed run writes"
        if not fault:
            again = start(name, out)
            _, said = again.communicate()
            if again.returncode:
                fault = f"the next run failed: {said.decode(errors='replace')[-500:]}"
            elif (then := settled(files(out))) != settled(whole):
                names = sorted(set(then) ^ set(settled(whole))) or "their bytes"
                fault = f"the next run's files differ: {names}"
            elif strays := [path for path in files(out) if path not in whole]:
                fault = f"left behind: {strays}"
    return Ended(name, number.name, round(share, 2), finished, fault)


def main() -> int:
    """End commands so many times; print what was found; 1 if anything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("times", type=int, nargs="?", default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    known = {name: right(name) for name in COMMANDS}
    faults = 0
    for number in range(given.times):
        name = list(COMMANDS)[number % len(COMMANDS)]
        ended = end_once(name, *known[name], chance)
        faults += bool(ended.fault)
        if ended.fault:
            console.print(f"{ended}", markup=False)
        elif number % 10 == 9:
            console.print(f"{number + 1} of {given.times}", highlight=False)
    console.print(f"{given.times} commands ended, {faults} left something wrong", highlight=False)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
