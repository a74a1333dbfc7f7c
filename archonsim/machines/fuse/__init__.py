"""A systolic array with one weight broadcast wire a row (FuSeConv, DATE'21)."""

from archonsim.machines.fuse.machine import FuseMachine

MACHINE = FuseMachine()

__all__ = ["MACHINE", "FuseMachine"]
