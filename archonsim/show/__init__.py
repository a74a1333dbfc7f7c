"""Presenting results: terminal tables, figures, the HTML page and timelines."""
