"""Fuzz the readers: ``python -m fuzz [TARGET ...] --minutes 10`` (``make fuzz``).

Coverage-guided, by atheris (extra ``fuzz``), each target in a process of its own with its share of
the minutes. Corpora grow in build/fuzz/TARGET; a find lies in fuzz/finds/TARGET and is tried by
tests from then on.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "archonsim"
console = Console(stderr=True)


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one target in this process until its time is up or something is found; never returns."""
    import atheris

    # libFuzzer sees branches of what is imported here, hence before anything else imports it.
    # Kernels stay as they are: numba compiles none with branches that are counted.
    kernels = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in PACKAGE.rglob("*_kernel.py")
    ]
    with atheris.instrument_imports(include=["archonsim"], exclude=kernels):
        from fuzz.targets import BYTES, SECONDS, TARGETS, attempt
    target = TARGETS[name]
    corpus, finds = Path("build") / "fuzz" / name, HERE / "finds" / name
    for folder in (corpus, finds):
        folder.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(target.seeds()):
        (corpus / f"seed{number}").write_bytes(content)
    place = Path(tempfile.mkdtemp())
    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={seconds}",
            f"-timeout={SECONDS}",
            f"-rss_limit_mb={BYTES >> 20}",
            f"-artifact_prefix={finds}/",
            "-max_len=65536",
            "-print_final_stats=1",
            str(corpus),
        ],
        lambda content: attempt(target, content, place) and None,
    )
    atheris.Fuzz()


def main() -> int:
    """Fuzz the targets that are asked for, one after the other; 1 if something is found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", nargs="*")
    parser.add_argument("--minutes", type=float, default=10, help="of all targets together")
    parser.add_argument("--seconds", type=int, help=argparse.SUPPRESS)  # of one, in its process
    given = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        console.print("fuzzing needs atheris: pip install 'archonsim[fuzz]' (Linux)")
        return 2
    if given.seconds is not None:
        fuzz(given.target[0], given.seconds)
    from fuzz.targets import TARGETS

    names = given.target or list(TARGETS)
    if unknown := sorted(set(names) - set(TARGETS)):
        console.print(f"unknown target {unknown[0]!r}; it must be one of {', '.join(TARGETS)}")
        return 2
    found = []
    for name in names:
        seconds = max(1, round(60 * given.minutes / len(names)))
        console.print(f"fuzzing {name}: {seconds} s")
        done = subprocess.run(
            [sys.executable, "-m", "fuzz", name, "--seconds", str(seconds)],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        runs = [line for line in done.stderr.splitlines() if "number_of_executed_units" in line]
        console.print(f"  {runs[0].split()[-1] if runs else '?'} inputs", highlight=False)
        if done.returncode:
            found.append(name)
            console.print(done.stderr[-3000:], markup=False, highlight=False)
    console.print(f"finds in {', '.join(found)}: see fuzz/finds" if found else "no finds")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
