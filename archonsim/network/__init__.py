"""Shapes of networks: layers, blocks, tables and networks known by name."""
