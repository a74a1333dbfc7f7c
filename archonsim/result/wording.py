"""Each sentence about trust and each format of a number, once.

Terminal, page, figures and Python use these.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from archonsim.network.workload import Provenance
from archonsim.result.values import Number

#: Between groups of three digits: on terminals a plain space, on pages a narrow one.
SPACE, NARROW = " ", "\N{NARROW NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True)
class Trust:
    """How far the masks of a source can be trusted, in the words of every presenter.

    Attributes
    ----------
    masks : str
        Behind ``masks:``.
    figure : str
        In a figure's subtitle.
    doubt : str
        A warning behind the workload's name; empty where none is due.
    """

    masks: str
    figure: str
    doubt: str = ""


#: By :attr:`archonsim.network.workload.Provenance.masks_from`.
TRUST = {
    "trained": Trust("trained", "masks of trained networks"),
    "untrained": Trust(
        "UNTRAINED network",
        "masks of UNTRAINED networks",
        "weights and masks are of an UNTRAINED network",
    ),
    "synthetic": Trust(
        "SYNTHETIC",
        "SYNTHETIC masks, no network computed them",
        "masks and weights are SYNTHETIC",
    ),
    "none": Trust("none: shapes only", "shapes only"),
}


def trust(source: str) -> Trust:
    """Return the words for a source of masks; its name where it is none of ours."""
    title = f"masks: {source or 'unknown'}"
    return TRUST.get(source) or Trust(source, title)


def is_warning(line: str) -> bool:
    """Whether a line of :func:`provenance_lines` is one that must not be overlooked."""
    return "SYNTHETIC" in line or "UNTRAINED" in line or line.startswith("note: interim")


def grouped(value: Number, digits: int = 0, gap: str = SPACE) -> str:
    """Write a number with groups of three digits and `digits` decimals."""
    return f"{value:,.{digits}f}".replace(",", gap)


def number(value: Number) -> str:
    """Write a count with groups of three digits; a mean without decimals."""
    return grouped(value)


def share(part: Number, whole: Number) -> str:
    """Write a percentage; nothing of nothing is blank."""
    return f"{100 * part / whole:.1f} %" if whole else ""


def microjoules(value: Number) -> str:
    """Write an energy with three digits or more."""
    return f"{value:.3g}" if value < 100 else number(value)


def origin_line(workload: str, origin: str) -> list[str]:
    """Warn of masks that no trained network computed; nothing of others."""
    doubt = trust(origin).doubt
    return [f"{workload}: {doubt}"] if doubt else []


def provenance_lines(provenance: Provenance, digest: str) -> Iterator[str]:
    """Say where a workload comes from, and how far it can be trusted."""
    accuracy = provenance.test_accuracy
    if provenance.mask_source == "none":
        weights = "UNTRAINED weights" if provenance.untrained else "weights"
        yield (
            f"{provenance.network}:"
            f" {f'{weights}, no masks' if digest else 'shapes only, no weights or masks'}"
        )
    else:
        what = (
            "SYNTHETIC, no network computed them"
            if provenance.mask_source == "synthetic"
            else (
                f"{'an UNTRAINED' if provenance.untrained else f'a {provenance.mask_source}'}"
                " network"
            )
        )
        yield f"{provenance.network} ({provenance.dataset}, {provenance.flavour}); masks: {what}"
    if accuracy is not None:
        yield (
            f"test accuracy {100 * accuracy:.2f} % on {provenance.test_images} images, measured on"
            " the exported weights"
        )
    if provenance.note:
        yield f"note: {provenance.note}"
    if digest:
        yield f"digest {digest[:16]}…, written by {provenance.created_by}"


def export_lines(provenance: Provenance) -> Iterator[str]:
    """Say what an exporter was given; nothing where the file does not tell."""
    if provenance.model:
        yield (
            f"model {provenance.model}, SHA-256 {provenance.model_sha256[:16]}…, run by"
            f" {provenance.framework}"
        )
    if provenance.image_indices:
        of = " ".join(one for one in (provenance.dataset, provenance.split) if one)
        yield (
            f"images {provenance.image_indices} of {of}; preprocessing: {provenance.preprocessing}"
        )
    if provenance.command:
        yield f"command: {provenance.command}"
