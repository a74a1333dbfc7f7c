"""Networks in PyTorch, built from their tables."""
