"""Losses of classifiers: cross entropy and its relatives."""
