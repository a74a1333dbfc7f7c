"""From a trained PyTorch network to a workload."""
