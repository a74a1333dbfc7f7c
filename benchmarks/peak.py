"""A process's peak of memory; also imported by interpreters that have another simulator alone."""

import resource
from pathlib import Path


def peak_mb() -> float:
    """Return this process's peak of memory in MB.

    ``ru_maxrss`` starts, on Linux, at that of the process that started this one; ``VmHWM`` does
    not.
    """
    status = Path("/proc/self/status")
    for line in status.read_text("utf-8").splitlines() if status.exists() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
