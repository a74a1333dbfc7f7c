"""Timelines: Perfetto traces, and the coarse form that the page shows."""
