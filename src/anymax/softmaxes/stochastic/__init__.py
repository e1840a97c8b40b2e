"""Softmaxes of perturbed logits, and doubly normalised ones."""
