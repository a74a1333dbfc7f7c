"""Why a run took what it took.

One owner for every cycle, what wrong predictions cost, and whether fusing a block pays.
"""
