"""Mutation testing: what the tests say when an operator, a comparison or a number is wrong."""
