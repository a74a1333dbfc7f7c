"""What ``--dry-run`` and ``--memory`` do in every command that has them."""

from __future__ import annotations

from typing import Annotated

import typer

from archonsim.cli.common import Format, emit
from archonsim.cli.progress import stderr
from archonsim.errors import UserError
from archonsim.result.files import rows_to_csv, to_json
from archonsim.result.forecast import Forecast

DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Run nothing; forecast beats, candidates, events, bytes and seconds."
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="BYTES",
        help="Memory that the command may take, such as 4G; half of the machine's by default.",
    ),
]


def told(forecast: Forecast, form: Format, *, dry_run: bool) -> bool:
    """Print a forecast where that is all that is asked; else say it where it is large.

    Returns
    -------
    bool
        Whether the command ends here.

    Raises
    ------
    UserError
        It takes more memory than it may; or `Forecast.check`.
    """
    from archonsim.show.terminal.forecast_text import render_forecast, summary

    if dry_run:
        emit(
            form,
            lambda: render_forecast(forecast),
            lambda: to_json(forecast.to_dict()),
            lambda: rows_to_csv(forecast.rows()),
        )
        try:
            forecast.check()
        except UserError as error:
            stderr.print(f"it would be refused: {error}")
        return True
    forecast.check()
    if forecast.is_large:
        stderr.print(f"{summary(forecast)}; --dry-run says of what", style="dim")
    return False
