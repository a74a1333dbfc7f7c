"""``archonsim synthesize``: a workload file with synthetic weights and masks, labelled so."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archonsim.cli.common import PLAIN_HELP
from archonsim.cli.progress import stderr
from archonsim.network.networks import find_network
from archonsim.result.wording import trust
from archonsim.trace.synthetic import synthesize
from archonsim.trace.synthetic_clips import with_clips
from archonsim.trace.synthetic_inputs import with_inputs
from archonsim.tracefile.writer import write_workload


def synthesize_command(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK",
            help=(
                "A network known by name, or a network table (.toml); `archonsim networks` lists"
                " names."
            ),
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The workload file to write.")],
    seed: Annotated[int, typer.Option(min=0, help="Equal arguments give equal bytes.")] = 0,
    images: Annotated[int, typer.Option(min=1, help="Images to make masks for.")] = 1,
    density1: Annotated[
        float, typer.Option(min=0, max=1, help="Share of activations that the first ReLU keeps.")
    ] = 0.5,
    density2: Annotated[
        float, typer.Option(min=0, max=1, help="Share of activations that the second ReLU keeps.")
    ] = 0.5,
    spatial: Annotated[
        int, typer.Option(min=0, help="Correlate masks over this many pixels on either side.")
    ] = 0,
    activations: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Add which inputs of every layer are not zero: this share of plain layers'.",
        ),
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help=PLAIN_HELP)] = False,
    agreement: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of bits in which true and predicted masks agree."),
    ] = 0.9,
    clipped: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of kept activations that a ReLU6 clips."),
    ] = 0.0,
) -> None:
    """Write a workload with synthetic weights and masks, for studies; it says so everywhere."""
    with stderr.status(f"making synthetic masks for {name}"):
        work, trace = synthesize(
            find_network(name),
            seed=seed,
            images=images,
            density1=density1,
            density2=density2,
            spatial=spatial,
            agreement=agreement,
        )
        if clipped:
            work, trace = with_clips(work, trace, clipped)
        if activations is not None:
            work, trace = with_inputs(work, trace, activations)
        digest = write_workload(output, work, trace, plain=plain)
    stderr.print(f"wrote {output} ({trust('synthetic').masks} masks, digest {digest[:16]}…)")
