"""The ``archonsim`` command.

One line for every error, exit code 2 for the user's fault, no traceback.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from archonsim.cli.faults import INTERRUPTED, fail
from archonsim.errors import ArchonsimError
from archonsim.kernels import on_first_compilation
from archonsim.version import __version__

#: Base of the errors of the option parser, wherever the installed typer keeps it.
UsageFault: type[Exception] = typer.BadParameter.__mro__[2]

#: Each command: the module of ``archonsim.cli`` that is imported when it runs, the function there
#: (or the ``typer.Typer`` of its own commands), and the line about it in the list of commands.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "run": (
        "run",
        "run",
        "Simulate a workload on an architecture and print cycles by layer and phase.",
    ),
    "compare": ("compare", "compare", "Run workloads on several architectures."),
    "sweep": (
        "sweep",
        "sweep",
        "Run all combinations and write one tidy table, results.csv and results.parquet.",
    ),
    "advise": (
        "advise",
        "advise_command",
        "Estimate for each block whether fusing pays on this machine, and check by simulation.",
    ),
    "waterfall": ("waterfall", "waterfall", "Say which cycles were lost to what."),
    "ledger": (
        "ledger",
        "ledger",
        "Count mispredictions of the ReLU predictors and what they cost.",
    ),
    "report": (
        "report",
        "report",
        "Write one self-contained HTML file about a run, a comparison or a sweep.",
    ),
    "reproduce": (
        "reproduce",
        "reproduce_command",
        "Compute a paper's published figures and print both, known defects of the source marked.",
    ),
    "inspect": ("inspect", "inspect", "Check a workload and show what it holds."),
    "verify": (
        "verify",
        "verify_command",
        "Recompute each block under its masks and compare with the trained network's output.",
    ),
    "archs": (
        "archs",
        "archs",
        "List architectures, or print a description as TOML (for --config), or its area.",
    ),
    "networks": (
        "networks",
        "networks",
        "List networks known by name and where each comes from, or one's layers.",
    ),
    "export": (
        "export",
        "export",
        "Run images through a trained network and store masks, maps and weights as a workload.",
    ),
    "synthesize": (
        "synthesize",
        "synthesize_command",
        "Write a workload with synthetic weights and masks, for studies; it says so everywhere.",
    ),
    "warm": ("warm", "warm_command", "Compile all kernels, so that no later run waits for it."),
    "plot": ("plot", "app", "Draw results: PNG, PDF and the CSV of exactly what is drawn."),
}


def load_command(name: str) -> Any:
    """Import a command and return it as the option parser knows it."""
    module, attribute, _ = COMMANDS[name]
    found = getattr(import_module(f"archonsim.cli.{module}"), attribute)
    if isinstance(found, typer.Typer):
        return get_command(found)
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name)(found)
    return get_command(alone)


class Commands(TyperGroup):
    """All commands by name and summary; only the one that runs is imported."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name, (_, _, summary) in COMMANDS.items():
            self.add_command(TyperCommand(name, help=summary, rich_markup_mode=None), name)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that a command line names, imported."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, found if name is None else load_command(name), rest


app = typer.Typer(
    name="archonsim",
    cls=Commands,
    help=(
        "Cycle-level simulator of ARCHON (predictive layer fusion) on the real ReLU masks of"
        " trained networks."
    ),
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"archonsim {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Cycle-level simulator of ARCHON (predictive layer fusion) on real ReLU masks."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _one_line(error: Any) -> str:
    """Say what is wrong with a command line, and where its help is."""
    command = error.ctx.command_path if getattr(error, "ctx", None) else "archonsim"
    return f"{error.format_message().splitlines()[0].rstrip('.')} (see {command} --help)"


def _say_compiling() -> None:
    from archonsim.cli.progress import say_compiling

    say_compiling()


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line; return its exit code."""
    try:
        with on_first_compilation(_say_compiling):
            code = int(app(args=list(arguments), standalone_mode=False) or 0)
        return (
            fail(INTERRUPTED, 130) if code == 130 else code
        )  # typer may turn Ctrl-C into an exit code of its own
    except ArchonsimError as error:
        return fail(str(error), error.exit_code)
    except UsageFault as error:
        return fail(_one_line(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        return fail(INTERRUPTED, 130)
    except BrokenPipeError:
        # The reader of our output (head, less) went away: no fault of anybody's.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return fail(f"{error.filename or 'output'}: {error.strerror}", 2)
