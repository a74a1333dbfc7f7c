"""Synthesizable model of the main phase, its test bench and its cell counts."""
