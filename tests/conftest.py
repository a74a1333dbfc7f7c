"""Settings of the whole suite."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# Machines are slow at times, so no example has a deadline. CI tries the same examples each time: a
# red build is then the change's fault; everybody else's runs go on exploring.
settings.register_profile("explore", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "explore")

# A shell starts background jobs with Ctrl-C ignored, and Python leaves it so; tests of Ctrl-C must
# work there, too.
signal.signal(signal.SIGINT, signal.default_int_handler)
