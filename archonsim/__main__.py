"""``python -m archonsim``."""

from archonsim.cli.app import main

main()
