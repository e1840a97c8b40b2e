"""Losses of policies: advantages, clipped policy gradients, soft Q-learning, path consistency."""
