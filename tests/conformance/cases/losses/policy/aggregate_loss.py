"""`aggregate_loss`: losses of tokens as one number."""

import numpy as np

from anymax._conformance.policies import WHERE, aggregated, drawn
from anymax.testing import Case, Golden

_X = np.random.default_rng(61).normal(size=(5, 4))
_BAD = np.where(WHERE, _X, np.nan)
_M = {"where": WHERE}

CASES = [
    Case("mean", (_BAD,), _M, compiled=True, condition=16.0),
    Case("sequences", (_BAD,), {**_M, "reduction": "seq-mean-token-mean"}, compiled=True,
         condition=16.0),
    Case("none", (_BAD,), {**_M, "reduction": "none"}),
    Case("plain", (_X,), {"reduction": "seq-mean-token-sum"}, smooth=True, condition=16.0),
    Case("kept", (_BAD,), {**_M, "reduction": "seq-mean-token-sum-norm", "length": 8.0,
                           "empty": "keep"}, condition=16.0),
    Case("norm", (_X[None],), {"reduction": "seq-mean-token-sum-norm"}, condition=16.0),
    Case("nothing", (_BAD,), {"where": np.zeros((5, 1), bool), "reduction": "seq-mean-token-sum"}),
    Case("no_token", (_X[:, :0],), {"reduction": "seq-mean-token-sum-norm"}),
]  # fmt: skip


def ORACLE(loss, *, where=None, reduction="mean", length=None, empty="drop"):
    return aggregated(loss, where, reduction, length, empty)


def DRAW(rng):
    return drawn(rng, 1)


def one_length_makes_token_and_sequence_means_equal(form, case):
    if case.options.get("where") is not None:
        return None
    mean = {"reduction": "mean"}
    return form(*case.args, **mean), form(*case.args, reduction="seq-mean-token-mean")


def GOLDEN(load):
    """verl's agg_loss."""
    z = load("classic-policy-gradient__verl_losses_large")
    where = z["in_response_mask"] != 0
    for reduction in ("seq-mean-token-sum", "seq-mean-token-sum-norm", "seq-mean-token-mean"):
        case = Case(reduction, (z["in_loss_mat"],), {"where": where, "reduction": reduction})
        yield Golden(case, z["out_agg_" + reduction.replace("-", "_")], rtol=1e-8)
    for reduction in ("mean", "sum"):
        case = Case(reduction, (z["in_loss_mat"],), {"where": where, "reduction": reduction})
        yield Golden(case, z[f"out_agg_token_{reduction}"], rtol=1e-8)


IDENTITIES = (one_length_makes_token_and_sequence_means_equal,)
