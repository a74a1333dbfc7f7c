"""Coarse time of data: channels and ports."""
