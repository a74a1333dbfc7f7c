"""``archonsim export``: from a trained PyTorch network to a workload file (to be wired)."""
