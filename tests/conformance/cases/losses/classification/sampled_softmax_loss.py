"""`sampled_softmax_loss`: cross entropy over the target and sampled classes."""

import numpy as np

import anymax as am
from anymax._conformance.sampled import by_columns, drawn, sampled_cases
from anymax.testing import Case, Golden

CASES = sampled_cases(corrected=True)
DRAW = drawn


def _cost(t, s, number, lost):
    if lost or (t == -np.inf).any():
        return np.nan if np.isnan(np.concatenate([t, s])).any() else np.inf
    y = np.concatenate([t, s])
    top = np.max(y)
    return top + np.log(np.sum(np.exp(y - top))) - np.sum(t) / number


def ORACLE(
    x, w, target, sampled, *, bias=None, target_log_q=None, sampled_log_q=None,
    remove_accidental_hits=True, where=None, weight=None, reduction="mean",
):  # fmt: skip
    return by_columns(
        _cost, x, w, target, sampled, bias=bias, hits=remove_accidental_hits, where=where,
        weight=weight, reduction=reduction,
        target_log_q=target_log_q, sampled_log_q=sampled_log_q,
    )  # fmt: skip


def _cross_entropy_of_all(form, case):
    """All classes sampled once, hits removed."""
    x, w, target, _ = case.args
    if target.ndim > 1 or set(case.options) - {"bias", "reduction"} or np.isnan(x).any():
        return None
    bias = case.options.get("bias", np.zeros(len(w)))
    if np.isinf(w).any() or np.isinf(bias).any():
        return None
    reduction = case.options.get("reduction", "mean")
    every = form(x, w, target, np.arange(len(w)), **case.options)
    return every, am.cross_entropy(x @ w.T + bias, target, reduction=reduction)


def _a_constant_in_log_q_changes_nothing(form, case):
    if "sampled_log_q" not in case.options:
        return None
    more = {k: case.options[k] + 1.5 for k in ("target_log_q", "sampled_log_q")}
    return form(*case.args, **{**case.options, **more}), form(*case.args, **case.options)


IDENTITIES = (_cross_entropy_of_all, _a_constant_in_log_q_changes_nothing)


def GOLDEN(load):
    """TensorFlow in float32, with counts from its log-uniform sampler."""
    z = load("classic-sampled-softmax__basic")
    args = z["in_inputs"], z["in_weights"], z["in_labels"], z["in_sampled"]
    log_q = {
        f"{n}_log_q": np.log(z[f"in_{w}_expected_count"].astype(float))
        for n, w in (("target", "true"), ("sampled", "sampled"))
    }
    for hits in (0, 1):
        options = {"bias": z["in_biases"], "remove_accidental_hits": bool(hits), **log_q}
        case = Case(f"hits_{hits}", args, {**options, "reduction": "none"})
        yield Golden(case, z[f"out_sampled_softmax_rah{hits}"], rtol=2e-6)
