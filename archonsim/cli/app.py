"""The ``archonsim`` command.

One line for every error, exit code 2 for the user's fault, no traceback.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from archonsim.cli import (
    advise,
    archs,
    compare,
    export,
    inspect,
    ledger,
    plot,
    report,
    reproduce,
    run,
    sweep,
    synthesize,
    verify,
    waterfall,
)
from archonsim.cli.faults import INTERRUPTED, fail
from archonsim.cli.progress import say_compiling
from archonsim.errors import ArchonsimError
from archonsim.pe.compiling import on_first_compilation
from archonsim.version import __version__

#: Base of the errors of the option parser, wherever the installed typer keeps it.
UsageFault: type[Exception] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="archonsim",
    help=(
        "Cycle-level simulator of ARCHON (predictive layer fusion) on the real ReLU masks of"
        " trained networks."
    ),
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

app.command("run")(run.run)
app.command("compare")(compare.compare)
app.command("sweep")(sweep.sweep)
app.command("advise")(advise.advise_command)
app.command("waterfall")(waterfall.waterfall)
app.command("ledger")(ledger.ledger)
app.add_typer(plot.app)
app.command("report")(report.report)
app.command("reproduce")(reproduce.reproduce_command)
app.command("inspect")(inspect.inspect)
app.command("verify")(verify.verify_command)
app.command("archs")(archs.archs)
app.command("networks")(archs.networks)
app.command("export")(export.export)
app.command("synthesize")(synthesize.synthesize_command)


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


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line; return its exit code."""
    try:
        with on_first_compilation(say_compiling):
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
