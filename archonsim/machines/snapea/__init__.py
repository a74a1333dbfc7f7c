"""SnaPEA: sums that stop as soon as they are sure, or likely, to be cut by a ReLU."""

from archonsim.machines.snapea.machine import SnapeaMachine

MACHINE = SnapeaMachine()

__all__ = ["MACHINE", "SnapeaMachine"]
