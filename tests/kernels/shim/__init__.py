"""Run the CUDA kernels on the CPU: g++ instead of NVRTC, NumPy arrays instead of device arrays.

`ShimLauncher` implements the launcher protocol of ``anymax._cuda``. In check mode it finds races
(threads, warps and blocks), accesses out of bounds, reads of uninitialised memory, misaligned
addresses, divergent barriers and writes to read-only arguments, and says where. It says nothing
about speed, and its arithmetic is that of the CPU.
"""

from .build import why_not
from .launcher import KernelError, ShimLauncher

__all__ = ["KernelError", "ShimLauncher", "why_not"]
