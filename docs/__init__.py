"""The pages' tools."""
