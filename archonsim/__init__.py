"""Cycle-level simulator of ARCHON, the accelerator of predictive layer fusion (ICS'21)."""

__version__ = "0.1.0"
