"""Loss of tokens behind a soft prompt: prompt_tuning_nll."""

import numpy as np

import anymax as am
from anymax._conformance.examples import by_examples, log_softmax
from anymax._conformance.rows import edge_logits
from anymax.testing import Case, logits

_EDGES, _WHERE = edge_logits()
_LABELS = np.asarray([[2, 0, 4, 0, 3, 2, 5]])
_X = logits(10, 5, seed=8).reshape(2, 5, 5)
_Y = np.asarray([[0, 4, -100], [3, 3, 1]])
_WEIGHT = np.asarray([1.0, 0.5, 2.0, 0.25, 1.5])
_ROWS = {"reduction": "none", "num_prompt": 2}

CASES = [
    Case("edges", (_EDGES[None], _LABELS), _ROWS, compiled=True),
    Case("masked", (_EDGES[None], _LABELS), {"where": _WHERE, **_ROWS}, compiled=True),
    Case("mean", (_X, _Y), {"num_prompt": 2}, smooth=True),
    Case("weighted", (_X, _Y), {"num_prompt": 2, "weight": _WEIGHT}, smooth=True),
    Case("no_prompt", (_X[:, :3], np.abs(_Y) % 5), {"num_prompt": 0, "reduction": "none"}),
    Case("no_prompt_mean", (_X[0, :3], _Y[1]), {"num_prompt": 0}, smooth=True),
    Case("no_token", (_X[:, :2], _Y[:, :0]), {"num_prompt": 2}),
]


def DRAW(rng):
    prompt, length = rng.integers(0, 3), rng.integers(1, 4)
    x = rng.normal(size=(2, prompt + length, 4))
    return Case("drawn", (x, rng.integers(0, 4, size=(2, length))), {"num_prompt": int(prompt)})


def _cost(z, t, lost):
    return np.inf if lost else -np.sum(t * log_softmax(z))


def ORACLE(logits, target, *, num_prompt, where=None, **options):
    """Labels padded to the positions of the logits, of which the last predicts nothing."""
    labels = np.full(logits.shape[:-1], -100)
    first = 1 if num_prompt == 0 else 0
    places = num_prompt + np.arange(first, target.shape[-1]) - 1
    labels[..., places] = target[..., first:]
    options = {"ignore_index": -100, **options}
    loss = by_examples(_cost, logits, labels, where=where, **options)
    if options.get("reduction") != "none":
        return loss
    scored = loss[..., places]
    return scored if not first else np.concatenate([0 * scored[..., :1], scored], axis=-1)


def _shifted_cross_entropy(form, case):
    x, y = case.args
    options, prompt = dict(case.options), case.options["num_prompt"]
    if options.get("reduction") == "none" or not prompt or not y.size:
        return None
    del options["num_prompt"]
    labels = np.concatenate([np.full((*y.shape[:-1], prompt - 1), -100), y], axis=-1)
    return form(x, y, **case.options), am.cross_entropy(x[..., :-1, :], labels, **options)


IDENTITIES = (_shifted_cross_entropy,)
