"""Ctrl-C that counts also where Python cannot raise an exception."""

from __future__ import annotations

import signal
import sys

#: Seconds until an interrupt that was lost comes again: behind the callback that lost it.
AGAIN = 0.05


def raise_lost_interrupts() -> None:
    """Deliver a Ctrl-C again that fell into a callback from compiled code.

    llvmlite calls back into Python while it loads a kernel; ctypes reports an exception in there
    as unraisable and goes on, so that the command would run to its end.
    """
    if not hasattr(signal, "setitimer"):
        return
    report = sys.unraisablehook

    def hook(fault: sys.UnraisableHookArgs) -> None:
        if fault.exc_type is KeyboardInterrupt:
            signal.setitimer(signal.ITIMER_REAL, AGAIN)
        else:
            report(fault)

    signal.signal(signal.SIGALRM, signal.default_int_handler)
    sys.unraisablehook = hook
