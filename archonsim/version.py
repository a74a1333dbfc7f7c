"""The version, for whoever writes it into files: the package's face would import from above."""

from __future__ import annotations

__version__ = "0.1.0"
