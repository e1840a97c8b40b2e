"""Entry points: the loop of weight_rows with each of the weight functions."""

from __future__ import annotations

from typing import Any

from numba import types

from anymax._cpu import weight_functions as f
from anymax._cpu import weight_peaks as p
from anymax._cpu.jit import Kernel, const, jit
from anymax._cpu.weight_rows import pull_rows, weigh_rows

__all__ = ["KERNELS"]


def _forward(cell: Any) -> Any:
    row, each = types.float64[:, ::1], types.float64[::1]
    given = const(cell, 2), const(types.uint8, 2), const(types.float64, 1), const(types.float64, 1)
    return (*given, row, each, cell[:, ::1], types.int64, types.boolean)


def _backward(cell: Any) -> Any:
    row, each = types.float64[:, ::1], types.float64[::1]
    given = const(cell, 2), const(types.uint8, 2), const(types.float64, 1), const(types.float64, 1)
    return (*given, const(cell, 2), row, each, each, cell[:, ::1], types.int64, types.boolean)


@jit(args=_forward)
def exp_rows(x, w, v, t, st, s, y, stage, logs):
    weigh_rows(
        p.top, f.exp_anchor, f.exp_weigh, f.exp_log,
        x, w, v, t, st, s, y, stage, logs,
    )  # fmt: skip


@jit(args=_backward)
def exp_pull(x, w, v, t, g, st, s, d, dx, stage, logs):
    pull_rows(
        p.top, f.exp_anchor, f.exp_weigh, f.exp_rate,
        x, w, v, t, g, st, s, d, dx, stage, logs,
    )  # fmt: skip


@jit(args=_forward)
def sigsoft_rows(x, w, v, t, st, s, y, stage, logs):
    weigh_rows(
        p.top, f.sigsoft_anchor, f.sigsoft_weigh, f.sigsoft_log,
        x, w, v, t, st, s, y, stage, logs,
    )  # fmt: skip


@jit(args=_backward)
def sigsoft_pull(x, w, v, t, g, st, s, d, dx, stage, logs):
    pull_rows(
        p.top, f.sigsoft_anchor, f.sigsoft_weigh, f.sigsoft_rate,
        x, w, v, t, g, st, s, d, dx, stage, logs,
    )  # fmt: skip


@jit(args=_forward)
def scalable_rows(x, w, v, t, st, s, y, stage, logs):
    weigh_rows(
        p.span, f.scalable_anchor, f.scalable_weigh, f.scalable_log,
        x, w, v, t, st, s, y, stage, logs,
    )  # fmt: skip


@jit(args=_backward)
def scalable_pull(x, w, v, t, g, st, s, d, dx, stage, logs):
    pull_rows(
        p.span, f.scalable_anchor, f.scalable_weigh, f.scalable_rate,
        x, w, v, t, g, st, s, d, dx, stage, logs,
    )  # fmt: skip


@jit(args=_forward)
def linear_rows(x, w, v, t, st, s, y, stage, logs):
    weigh_rows(
        p.top, f.power_anchor, f.linear_weigh, f.power_log,
        x, w, v, t, st, s, y, stage, logs,
    )  # fmt: skip


@jit(args=_backward)
def linear_pull(x, w, v, t, g, st, s, d, dx, stage, logs):
    pull_rows(
        p.top, f.power_anchor, f.linear_weigh, f.linear_rate,
        x, w, v, t, g, st, s, d, dx, stage, logs,
    )  # fmt: skip


@jit(args=_forward)
def power_rows(x, w, v, t, st, s, y, stage, logs):
    weigh_rows(
        p.top, f.power_anchor, f.power_weigh, f.power_log,
        x, w, v, t, st, s, y, stage, logs,
    )  # fmt: skip


@jit(args=_backward)
def power_pull(x, w, v, t, g, st, s, d, dx, stage, logs):
    pull_rows(
        p.top, f.power_anchor, f.power_weigh, f.power_rate,
        x, w, v, t, g, st, s, d, dx, stage, logs,
    )  # fmt: skip


@jit(args=_forward)
def spherical_rows(x, w, v, t, st, s, y, stage, logs):
    weigh_rows(
        p.magnitude, f.spherical_anchor, f.spherical_weigh, f.spherical_log,
        x, w, v, t, st, s, y, stage, logs,
    )  # fmt: skip


@jit(args=_backward)
def spherical_pull(x, w, v, t, g, st, s, d, dx, stage, logs):
    pull_rows(
        p.magnitude, f.spherical_anchor, f.spherical_weigh, f.spherical_rate,
        x, w, v, t, g, st, s, d, dx, stage, logs,
    )  # fmt: skip


@jit(args=_forward)
def taylor2_rows(x, w, v, t, st, s, y, stage, logs):
    weigh_rows(
        p.magnitude, f.taylor_anchor, f.taylor2_weigh, f.taylor2_log,
        x, w, v, t, st, s, y, stage, logs,
    )  # fmt: skip


@jit(args=_backward)
def taylor2_pull(x, w, v, t, g, st, s, d, dx, stage, logs):
    pull_rows(
        p.magnitude, f.taylor_anchor, f.taylor2_weigh, f.taylor2_rate,
        x, w, v, t, g, st, s, d, dx, stage, logs,
    )  # fmt: skip


@jit(args=_forward)
def taylor_rows(x, w, v, t, st, s, y, stage, logs):
    weigh_rows(
        p.magnitude, f.taylor_anchor, f.taylor_weigh, f.taylor_log,
        x, w, v, t, st, s, y, stage, logs,
    )  # fmt: skip


@jit(args=_backward)
def taylor_pull(x, w, v, t, g, st, s, d, dx, stage, logs):
    pull_rows(
        p.magnitude, f.taylor_anchor, f.taylor_weigh, f.taylor_rate,
        x, w, v, t, g, st, s, d, dx, stage, logs,
    )  # fmt: skip


@jit(args=_forward)
def stable_rows(x, w, v, t, st, s, y, stage, logs):
    weigh_rows(
        p.top, f.stable_anchor, f.stable_weigh, f.stable_log,
        x, w, v, t, st, s, y, stage, logs,
    )  # fmt: skip


@jit(args=_backward)
def stable_pull(x, w, v, t, g, st, s, d, dx, stage, logs):
    pull_rows(
        p.top, f.stable_anchor, f.stable_weigh, f.stable_rate,
        x, w, v, t, g, st, s, d, dx, stage, logs,
    )  # fmt: skip


KERNELS: dict[str, tuple[Kernel, Kernel]] = {
    "exp": (exp_rows, exp_pull),
    "sigsoft": (sigsoft_rows, sigsoft_pull),
    "scalable": (scalable_rows, scalable_pull),
    "linear": (linear_rows, linear_pull),
    "power": (power_rows, power_pull),
    "spherical": (spherical_rows, spherical_pull),
    "taylor2": (taylor2_rows, taylor2_pull),
    "taylor": (taylor_rows, taylor_pull),
    "stable": (stable_rows, stable_pull),
}
