"""One run: what is asked, the simulation, and the checks of a workload."""
