"""Run the CUDA kernels on the CPU: g++ instead of NVRTC, NumPy arrays instead of device arrays.

`ShimLauncher` implements the launcher protocol of ``anymax._cuda``. In check mode it finds races
(threads, warps and blocks), accesses out of bounds, reads of uninitialised memory, misaligned
addresses, divergent barriers and writes to read-only arguments, and says where.

``include/`` stands in for CUDA C++ when g++ compiles a kernel; ``runtime/`` runs the threads of a
block as fibers of one operating system thread and, in check mode, keeps shadow memory; ``kernels/``
holds the mistakes that prove the checker works, and the emulated instructions' own test.

What it does not do: speed; the rounding of a device (tensor cores sum in order, fast intrinsics are
exact, nothing is flushed to zero); clusters, grid-wide barriers or waiting for another block, as
blocks run one after another; mbarrier, TMA and wgmma; races between single bytes, as shadow memory
has a cell for two; plain memcpy of large structs. It needs Linux and g++, on x86-64 (the context
switch for AArch64 is written, but has not been run).
"""

from .build import why_not
from .launcher import KernelError, ShimLauncher

__all__ = ["KernelError", "ShimLauncher", "why_not"]
