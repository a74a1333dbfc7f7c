"""The base of arrays that are fed from buffers at their edges (systolic, fuse)."""
