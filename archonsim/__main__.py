"""``python -m archonsim``."""

from archonsim.cli.entry import main

main()
