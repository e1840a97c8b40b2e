"""Losses on the order of scored lists."""
