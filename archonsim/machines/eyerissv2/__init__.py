"""Eyeriss v2: PEs with compressed weights and activations, behind a hierarchical network."""

from archonsim.machines.eyerissv2.machine import EyerissV2Machine

MACHINE = EyerissV2Machine()

__all__ = ["MACHINE", "EyerissV2Machine"]
