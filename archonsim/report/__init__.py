"""Results: a tree of figures, and its forms as tables, JSON and CSV."""
