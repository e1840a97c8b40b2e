"""Softmax and its relatives made of exponentials."""
