"""CUDA kernels: real ``.cu`` files, compiled by NVRTC, launched through one small protocol.

Nothing here is imported by ``import anymax``. Modules, in the order data flows through them:

``spec``      what a kernel is: source file, template instance, parameters, block size
``source``    one ``.cu`` file with its headers as a single text
``nvrtc``     text to cubin for one exact architecture, with a report of registers and spills
``arrays``    the few facts and operations needed from NumPy, CuPy and torch arrays
``launch``    the launcher protocol and the launcher for real devices
``rows``      arrays seen as rows: what the row kernels share

then one module per primitive, next to its ``.cu`` file.
"""
