"""The general Fenchel-Young loss: fenchel_young_loss."""

import numpy as np

import anymax as am
from anymax._conformance.examples import by_examples, labelled_cases
from anymax._conformance.fenchel_young import norm, tsallis
from anymax.testing import Case, logits

_X = logits(6, 5, seed=8).reshape(2, 3, 5)
_Y = np.asarray([[0, 4, 2], [3, 3, 1]])
_SOFT = np.asarray(np.arange(30).reshape(2, 3, 5) % 5 + 0.5) / 12.5

CASES = [
    *labelled_cases()[:2],
    Case("soft", (_X, _SOFT), wrt=(0, 1), smooth=True),
    Case("norm", (_X, _SOFT), {"regularizer": "norm", "alpha": 2.0}, wrt=(0, 1), smooth=True),
    Case("normed", labelled_cases()[1].args, {
        **labelled_cases()[1].options, "regularizer": "norm", "alpha": 1.5,
    }),
]  # fmt: skip


def ORACLE(logits, target, *, regularizer="tsallis", alpha=1.5, **options):
    return by_examples(
        {"tsallis": tsallis, "norm": norm}[regularizer], logits, target, alpha, **options
    )


def _entmax_or_normmax(form, case):
    options = dict(case.options)
    named = am.normmax_loss if options.pop("regularizer", "tsallis") == "norm" else am.entmax_loss
    return form(*case.args, **case.options), named(*case.args, **options)


def _nothing_for_the_best_response(form, case):
    """The loss is 0 where the target is the response itself."""
    x, options = case.args[0], dict(case.options)
    if not np.isfinite(x).all():
        return None
    respond = am.normmax if options.get("regularizer") == "norm" else am.entmax
    p = respond(x, alpha=options.get("alpha", 1.5))
    loss = form(x, p, **options)
    return loss, np.zeros(loss.shape)


IDENTITIES = (_entmax_or_normmax, _nothing_for_the_best_response)
