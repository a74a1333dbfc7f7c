"""How work is cut and mapped: pure functions of shapes."""
