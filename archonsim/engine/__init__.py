"""Coarse time of work: fetch, execute, store, carried by SimPy."""
