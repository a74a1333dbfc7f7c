"""ReLU predictors that are attached to networks trained without any: each an entry point."""
