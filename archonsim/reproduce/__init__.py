"""Published results, computed again: every figure of a paper beside ours, its known defects marked."""
