"""The hot computations that forms are made of; only these dispatch to kernels."""
