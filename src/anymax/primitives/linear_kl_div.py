r"""KL divergence between the softmaxes of two linear layers, whose logits are never stored.

Contract: ``f(student_hidden, student_w, teacher_hidden, teacher_w, where, chunk_size=)`` gives (N,)

.. math:: \sum_v p_v (\log p_v - \log q_v), \qquad p = \mathrm{softmax}(h_t W_t^\top),\quad
    q = \mathrm{softmax}(h_s W_s^\top)

for hidden (N, D), w (V, D), where boolean (1 or N, 1 or V). A row without any class costs 0.
Rows of hidden or w with NaN or inf give logits of NaN; a row whose result is NaN has gradient 0.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from anymax import _array
from anymax._array import Array, stop_gradient
from anymax._dispatch import Primitive
from anymax.primitives._linear import chunks, joined, logits, rows_at, sound
from anymax.primitives._masked import exponentials, nonzero, select


def _reference(xp, student_hidden, student_w, teacher_hidden, teacher_w, where, *, chunk_size):
    ranges = chunks(student_hidden.shape[0], student_w.shape[0], chunk_size)
    cost: Callable = functools.partial(_chunk, xp)
    if len(ranges) > 1:
        cost = _array.recomputed(cost, student_hidden)
    parts = [
        cost(rows_at(student_hidden, r), student_w, rows_at(teacher_hidden, r), teacher_w,
             rows_at(where, r))
        for r in ranges
    ]  # fmt: skip
    return joined(xp, parts)


def _chunk(xp, student_hidden, student_w, teacher_hidden, teacher_w, where):
    s = logits(xp, student_hidden, student_w)[0]
    t = logits(xp, teacher_hidden, teacher_w)[0]
    fine = sound(xp, s, where) & sound(xp, t, where)
    s, t = (xp.where(fine, z, stop_gradient(z)) for z in (s, t))
    p, _, difference, hopeless = _weights(xp, s, t, where)
    cost = xp.sum(p * difference, axis=-1)
    return cost + select(xp, hopeless, xp.full_like(cost, xp.inf))


def _weights(xp, s, t, where):
    """p, q, log p - log q (0 where a class takes no part), rows where q is 0 and p is not."""
    z_s, e_s, sum_s, _, keep_s = exponentials(xp, s, where, (1,), 1.0)
    z_t, e_t, sum_t, _, keep_t = exponentials(xp, t, where, (1,), 1.0)
    sum_s, sum_t = nonzero(xp, sum_s), nonzero(xp, sum_t)
    keep = keep_s & keep_t
    difference = select(xp, keep, (z_t - xp.log(sum_t)) - (z_s - xp.log(sum_s)))
    p, q = e_t / sum_t, e_s / sum_s
    return p, q, difference, xp.any((p > 0) & ~keep_s, axis=-1)


def _vjp(xp, operands, outputs, cotangents, needs, *, chunk_size):
    """Logits are computed again, chunk by chunk; every product is of a chunk."""
    count, num_classes = operands[0].shape[0], operands[1].shape[0]
    g = cotangents[0]
    g = xp.zeros_like(outputs[0]) if g is None else g
    states: dict[int, list[Array]] = {0: [], 2: []}
    totals: dict[int, Array] = {}
    for r in chunks(count, num_classes, chunk_size):
        for i, part in enumerate(_chunk_vjp(xp, operands, outputs[0], g, needs, r)):
            if part is None:
                continue
            if i in states:
                states[i].append(part)
            else:
                totals[i] = totals[i] + part if i in totals else part
    joint = {i: joined(xp, parts) for i, parts in states.items() if parts}
    return tuple((joint | totals).get(i) for i in range(5))


def _slopes(xp, operands, cost, r):
    """d cost / d logits of student and teacher, and the factors of the products."""
    student_hidden, student_w, teacher_hidden, teacher_w, where = operands
    s, h_s, v_s = logits(xp, rows_at(student_hidden, r), student_w)
    t, h_t, v_t = logits(xp, rows_at(teacher_hidden, r), teacher_w)
    p, q, difference, _ = _weights(xp, s, t, rows_at(where, r))
    cost = cost[:, None]
    live = xp.isfinite(cost)
    by_student = select(xp, live, q - p)
    by_teacher = select(xp, live, p * (difference - cost))
    return (by_student, h_s, v_s), (by_teacher, h_t, v_t)


def _chunk_vjp(xp: Any, operands: tuple, cost: Array, g: Any, needs: tuple, r: Any) -> list:
    rows: Any = rows_at(g, r)
    g = rows[:, None]
    grads: list[Array | None] = []
    for i, (slope, h, v) in enumerate(_slopes(xp, operands, rows_at(cost, r), r)):
        dz = select(xp, g != 0, select(xp, g != 0, slope) * g)
        grads.append(xp.matmul(dz, v) if needs[2 * i] else None)
        grads.append(xp.matmul(xp.matrix_transpose(dz), h) if needs[2 * i + 1] else None)
    return grads


def _jvp(xp, operands, outputs, tangents, *, chunk_size):
    parts = []
    for r in chunks(operands[0].shape[0], operands[1].shape[0], chunk_size):
        total = xp.zeros_like(rows_at(outputs[0], r))
        for i, (slope, h, v) in enumerate(_slopes(xp, operands, rows_at(outputs[0], r), r)):
            for a, b in ((rows_at(tangents[2 * i], r), v), (h, tangents[2 * i + 1])):
                if a is not None and b is not None:
                    total = total + xp.sum(slope * xp.matmul(a, xp.matrix_transpose(b)), axis=-1)
        parts.append(total)
    return joined(xp, parts)


linear_kl_div = Primitive("linear_kl_div", _reference, _vjp, _jvp, (False,), (), closed=True)
