"""Softmaxes whose weights are rational functions of the logits."""
