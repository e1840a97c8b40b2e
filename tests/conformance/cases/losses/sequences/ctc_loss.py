"""`ctc_loss`: minus the log-probability of all alignments."""

import numpy as np

import anymax as am
from anymax.testing import Case, Golden, logits

_INF, _NAN = np.inf, np.nan
_LOGP = am.log_softmax(logits(20, 4, seed=5) / 4.0).reshape(4, 5, 4)
_EDGES = am.log_softmax(np.concatenate([logits(40, 4, seed=6) / 4.0] * 2)[:55]).reshape(11, 5, 4)
_TARGETS = np.asarray(
    [
        [1, 2, 3], [1, 1, 2], [2, 2, 2], [-1, -1, -1], [-1, -1, -1], [3, -1, -1],
        [1, 2, 3], [1, 2, 3], [1, 2, -1], [1, 2, -1], [3, 3, 1],
    ]
)  # fmt: skip
_FRAMES = np.asarray([5, 5, 5, 5, 0, 0, 3, 4, 5, 5, 3])
_EDGES[7, 4] = _NAN  # a frame past the length
_EDGES[8, :, 3] = _NAN  # a class that is not in the target
_EDGES[9, 2, 1] = _NAN  # one that is
_EDGES[6, 1, 1] = _EDGES[3, 2, 1] = -_INF
_EDGES[0, 2, 0] = -_INF
_EDGES[1] *= 1024.0
_LENGTHS = {"input_lengths": np.asarray([5, 4, 5, 3]), "target_lengths": np.asarray([3, 2, 0, 1])}
_LABELS = np.asarray([[1, 2, 1], [2, 2, -1], [0, 0, 0], [3, 0, 0]])

CASES = [
    Case("edges", (_EDGES, _TARGETS), {"input_lengths": _FRAMES, "reduction": "none"},
         compiled=True, condition=4.0),
    Case("zeroed", (_EDGES, _TARGETS), {"input_lengths": _FRAMES, "zero_infinity": True,
         "reduction": "none"}, condition=4.0),
    Case("mean", (_LOGP, _LABELS), _LENGTHS, condition=4.0),
    Case("last_blank", (_LOGP, np.asarray([[1, 2], [0, 0], [2, 0], [1, -1]])), {"blank": 3},
         compiled=True, smooth=True, condition=4.0),
    Case("one", (_LOGP[0], np.asarray([1, 2, 2])), {"reduction": "sum"}, condition=4.0),
    Case("shared", (_LOGP, np.asarray([2, 1])), {"reduction": "none"}, smooth=True, condition=4.0),
    Case("no_label", (_LOGP, np.zeros((4, 0), int)), {"reduction": "none"}),
    Case("no_frame", (np.zeros((2, 0, 3)), np.asarray([[-1], [1]])), {"reduction": "none"}),
]  # fmt: skip


def ORACLE(
    logp, target, *, input_lengths=None, target_lengths=None, blank=0, zero_infinity=False,
    reduction="mean",
):  # fmt: skip
    lead = logp.shape[:-2]
    target = np.broadcast_to(target, (*lead, target.shape[-1]))
    loss, length = np.zeros(lead, np.longdouble), np.zeros(lead, int)
    for row in np.ndindex(lead):
        frames = logp.shape[-2] if input_lengths is None else input_lengths[row]
        length[row] = (
            np.sum(target[row] != -1) if target_lengths is None else target_lengths[row]
        )  # fmt: skip
        loss[row] = _one(logp[row][:frames], target[row][: length[row]], blank)
    if zero_infinity:
        loss = np.where(loss == np.inf, 0, loss)
    if reduction == "none":
        return loss
    return np.sum(loss) if reduction == "sum" else np.mean(loss / np.maximum(length, 1))


def _one(logp, labels, blank):
    """States in turn, in the words of the paper."""
    states = [blank]
    for label in labels:
        states += [int(label), blank]
    a = np.full(len(states), -np.inf, np.longdouble)
    a[0] = 0.0
    for frame in logp:
        new = a.copy()
        for s in range(1, len(states)):
            new[s] = np.logaddexp(new[s], a[s - 1])
            if s > 1 and states[s] not in (blank, states[s - 2]):
                new[s] = np.logaddexp(new[s], a[s - 2])
        a = new + frame[states]
    return -np.logaddexp(a[-1], a[-2]) if len(states) > 1 else -a[-1]


def DRAW(rng):
    t, c, u = rng.integers(1, 7), rng.integers(2, 5), rng.integers(0, 4)
    logp = np.log(rng.uniform(0.05, 1.0, size=(2, t, c)))
    return Case("drawn", (logp, rng.integers(1, c, size=(2, u))), condition=4.0)


def _frames_past_the_length_do_not_matter(form, case):
    if case.name != "mean":
        return None
    logp, target = case.args
    longer = np.concatenate([logp, np.full_like(logp, np.nan)], axis=1)
    return form(longer, target, **case.options), form(*case.args, **case.options)


IDENTITIES = (_frames_past_the_length_do_not_matter,)


def GOLDEN(load):
    """torch, time first; its gradient is that of the log-softmax in front."""
    z = load("classic-ctc__ctc")
    for n in range(3):
        logp = np.moveaxis(am.log_softmax(z[f"in_logits_{n}"]), 0, 1)
        options = {
            "input_lengths": z[f"in_input_lengths_{n}"],
            "target_lengths": z[f"in_target_lengths_{n}"],
        }
        args = logp, z[f"in_targets_{n}"]
        rows = Case(f"rows_{n}", args, {**options, "reduction": "none"})
        yield Golden(rows, z[f"out_none_{n}"])
        mean = Case(f"mean_{n}", args, {**options, "zero_infinity": True})
        yield Golden(mean, z[f"out_mean_zero_inf_{n}"])
