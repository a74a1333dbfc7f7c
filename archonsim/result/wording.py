"""Each sentence about trust and each format of a number, once.

Terminal, page, figures and Python use these.
"""

from __future__ import annotations

from collections.abc import Iterator

from archonsim.network.workload import Provenance
from archonsim.result.values import Number


def number(value: Number) -> str:
    """Write a count with thin groups of three digits; a mean without decimals."""
    return f"{value:,.0f}".replace(",", " ")


def share(part: Number, whole: Number) -> str:
    """Write a percentage; nothing of nothing is blank."""
    return f"{100 * part / whole:.1f} %" if whole else ""


def microjoules(value: Number) -> str:
    """Write an energy with three digits or more."""
    return f"{value:.3g}" if value < 100 else number(value)


def origin_line(workload: str, origin: str) -> list[str]:
    """Warn of masks that no trained network computed; nothing of others."""
    said = {
        "synthetic": "masks and weights are SYNTHETIC",
        "untrained": "weights and masks are of an UNTRAINED network",
    }
    return [f"{workload}: {said[origin]}"] if origin in said else []


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
