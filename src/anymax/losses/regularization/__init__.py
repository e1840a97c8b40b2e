"""Penalties on parameters and groups, and the regularisers of Bayesian models."""
