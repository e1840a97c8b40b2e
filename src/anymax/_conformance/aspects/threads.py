"""Kernels give the same bits on one, two and three threads, values and gradients."""

from __future__ import annotations

import importlib

import numpy as np

from anymax._conformance.calls import pullback
from anymax._conformance.cell import Cell
from anymax._conformance.columns import to_numpy
from anymax._conformance.numeric import cotangent
from anymax.testing import Case


def applies(cell: Cell) -> bool:
    numpy = cell.column.name == "numpy" and cell.dtype in ("float64", "float32")
    return cell.backend == "numba" and numpy


def check(cell: Cell) -> None:
    cell.each(lambda case: _one(cell, case), cell.cases(large=True))


def _one(cell: Cell, case: Case) -> None:
    pool = importlib.import_module("anymax._cpu.pool")
    shapes = [y.shape for y in cell.expected(case)]
    cotangents = [cotangent(s, i) for i, s in enumerate(shapes)]
    before, seen = pool.num_threads(), []
    try:
        for threads in (1, 2, 3):
            pool.set_num_threads(threads)
            results = [to_numpy(y) for y in cell.raw(case)]
            with cell.session():
                grads = pullback(cell, case, cotangents)
            seen.append([*results, *(to_numpy(g) for g in grads.values())])
    finally:
        pool.set_num_threads(before)
    for threads, arrays in zip((2, 3), seen[1:]):
        for i, (a, b) in enumerate(zip(arrays, seen[0])):
            same = np.array_equal(a, b, equal_nan=True)
            assert same, f"array {i} differs between {threads} threads and one"
