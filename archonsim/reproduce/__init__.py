"""Published results, computed again.

Every figure of a paper beside ours, its known defects marked.
"""
