"""What a PE array does inside a tile: numba kernels, and the references that define them."""
