"""Losses of sequences: alignments, and boundaries between chunks."""
