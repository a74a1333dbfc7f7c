"""ARCHON, the accelerator of predictive layer fusion (ICS'21)."""

from archonsim.machines.archon.machine import ArchonMachine

MACHINE = ArchonMachine()

__all__ = ["MACHINE", "ArchonMachine"]
