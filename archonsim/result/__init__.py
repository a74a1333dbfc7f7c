"""Results as typed trees, their JSON and CSV, and the words that describe them."""
