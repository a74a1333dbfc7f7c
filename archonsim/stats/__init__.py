"""What is counted, and who owns each cycle."""
