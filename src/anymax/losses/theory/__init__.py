"""Losses of theory: objectives that theorems about attention and training speak of."""
