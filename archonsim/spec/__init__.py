"""How hardware is described: data without behaviour."""
