"""The version, without an import of the package's interface."""

from __future__ import annotations

__version__ = "0.1.0"
