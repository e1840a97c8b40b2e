"""Softmaxes with calibrated uncertainty, and densities over ordered bins."""
