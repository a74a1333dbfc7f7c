"""From a trained network, ours or anybody's, to a workload."""

from __future__ import annotations

from typing import Any

__all__ = ["Pruning", "export_model", "export_module", "export_onnx"]


def __getattr__(name: str) -> Any:
    """Import the exporter when it is first asked for: a run of a workload needs none of it."""
    if name in __all__:
        from archonsim.export import foreign

        return getattr(foreign, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
