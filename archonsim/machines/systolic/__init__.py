"""A plain systolic array: output, weight or input stationary."""

from archonsim.machines.systolic.machine import SystolicMachine

MACHINE = SystolicMachine()

__all__ = ["MACHINE", "SystolicMachine"]
