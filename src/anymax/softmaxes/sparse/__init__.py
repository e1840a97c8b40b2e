"""Softmaxes with exact zeros, and soft and hard selections of the largest entries."""
