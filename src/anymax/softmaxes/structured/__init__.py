"""Softmaxes over classes with structure: trees, clusters, ordered levels, shared codes."""
