"""Kernels for arrays in main memory: numba, SIMD loops and the project's own thread pool."""
