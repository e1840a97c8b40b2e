"""Losses of mixtures of experts: densities, and the balance of routers."""
