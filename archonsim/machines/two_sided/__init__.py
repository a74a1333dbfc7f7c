"""The base of arrays that skip products with a zero weight or a zero activation."""
