"""Sweeps: parameters x workloads x architectures x masks, point by point into one table."""
