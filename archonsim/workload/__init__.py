"""What is computed, free of any machine: layers, blocks, masks, traces, and the workload file."""
