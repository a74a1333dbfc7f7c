"""Training of the networks whose masks archonsim simulates.

Imports archonsim, never the reverse.
"""
