"""SparTen: clusters of units that join bit masks of inputs and filters, balanced offline."""

from archonsim.machines.sparten.machine import SpartenMachine

MACHINE = SpartenMachine()

__all__ = ["MACHINE", "SpartenMachine"]
