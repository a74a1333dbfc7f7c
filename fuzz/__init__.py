"""Fuzzing of everything that the program reads (``make fuzz``, docs/fuzzing.md)."""
