"""`nce_loss`: noise-contrastive estimation."""

import numpy as np

import anymax as am
from anymax._conformance.sampled import by_columns, drawn, sampled_cases
from anymax.testing import Case, Golden

CASES = sampled_cases(corrected=True)
DRAW = drawn


def _cost(t, s, number, lost):
    right = np.logaddexp(0, t) - t / number
    right = np.where(t == -np.inf, np.inf, right)
    return np.sum(right) + np.sum(np.logaddexp(0, s))


def ORACLE(
    x, w, target, sampled, *, bias=None, target_log_q=None, sampled_log_q=None,
    remove_accidental_hits=False, where=None, weight=None, reduction="mean",
):  # fmt: skip
    return by_columns(
        _cost, x, w, target, sampled, bias=bias, hits=remove_accidental_hits, where=where,
        weight=weight, reduction=reduction,
        target_log_q=target_log_q, sampled_log_q=sampled_log_q,
    )  # fmt: skip


def _negative_sampling_without_correction(form, case):
    x, w, target, sampled = case.args
    if target.ndim > 1 or "sampled_log_q" in case.options:
        return None
    plain = am.negative_sampling_loss(x, w, target, sampled, **case.options)
    return form(x, w, target, sampled, **case.options), plain


IDENTITIES = (_negative_sampling_without_correction,)


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
        yield Golden(case, z[f"out_nce_rah{hits}"], rtol=2e-6)
