"""Attention that looks at all keys."""
