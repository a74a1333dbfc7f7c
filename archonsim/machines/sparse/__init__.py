"""The row-stationary array that skips zero weights, ICS'21's sparse baseline."""

from archonsim.machines.sparse.machine import SparseMachine

MACHINE = SparseMachine()

__all__ = ["MACHINE", "SparseMachine"]
