"""Why a run took what it took: one owner for every cycle, what wrong predictions cost, and whether fusing a block pays."""
