"""Softmaxes that choose experts."""
