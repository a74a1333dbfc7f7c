"""One self-contained HTML file for a run, a comparison or a sweep."""
