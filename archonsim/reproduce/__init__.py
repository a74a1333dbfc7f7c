"""Published results, computed again.

Every published figure with the simulated one, known defects marked.
"""
