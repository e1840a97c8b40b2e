"""Losses that ask for a margin between the right class and the others."""
