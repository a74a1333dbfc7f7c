"""SCNN: PEs that multiply every non-zero weight with every non-zero input of a channel."""

from archonsim.machines.scnn.machine import ScnnMachine

MACHINE = ScnnMachine()

__all__ = ["MACHINE", "ScnnMachine"]
