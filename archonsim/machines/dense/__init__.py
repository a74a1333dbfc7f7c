"""The Eyeriss-like row-stationary array that ICS'21 compares ARCHON with."""

from archonsim.machines.dense.machine import DenseMachine

MACHINE = DenseMachine()

__all__ = ["MACHINE", "DenseMachine"]
