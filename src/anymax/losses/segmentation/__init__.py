"""Losses on overlaps of regions."""
