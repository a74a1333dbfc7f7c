"""Figures: the public names of :mod:`archonsim.show.figures`."""

from archonsim.show.figures import *  # noqa: F403
from archonsim.show.figures import __all__ as __all__
