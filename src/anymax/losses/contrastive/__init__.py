"""Losses that tell pairs of vectors apart."""
