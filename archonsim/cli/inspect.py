"""``archonsim inspect``: what a workload file holds."""
