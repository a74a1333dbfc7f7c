"""Why a run took what it took: one owner for every cycle, and what wrong predictions cost."""
