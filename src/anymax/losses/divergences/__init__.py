"""Losses between two distributions: divergences, distillation, errors of quantization."""
