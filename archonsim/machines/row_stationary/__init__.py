"""The base of row-stationary arrays (dense, sparse)."""
