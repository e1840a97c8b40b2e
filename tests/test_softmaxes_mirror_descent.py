"""Mirror descent on the simplex: identities, and the regret that optimism is bought for."""

from __future__ import annotations

import numpy as np
import pytest

import anymax as am
from anymax.softmaxes import optimistic_mirror_descent

RNG = np.random.default_rng(0)


def drifting(rounds=400, n=5):
    """Losses in [0, 1] that change slowly: the loss before is a good guess."""
    t = np.arange(rounds)[:, None] / 60.0
    return 0.5 + 0.5 * np.sin(t + np.arange(n))


def regret(plays, losses):
    return np.sum(plays * losses) - np.min(np.sum(losses, axis=0))


def test_steps_of_entropy_are_the_softmax_of_summed_losses():
    losses = RNG.normal(size=(50, 6))
    log_w = np.log(np.full(6, 1 / 6))
    for loss in losses:
        log_w = am.entropic_mirror_step(log_w, loss, eta=0.3)
    np.testing.assert_allclose(np.exp(log_w), am.softmax(-0.3 * losses.sum(axis=0)), rtol=1e-12)


@pytest.mark.parametrize("eta", [0.05, 0.25])
@pytest.mark.parametrize("guess", ["zero", "previous", "perfect"])
def test_regret_keeps_its_bound_on_a_drifting_sequence(eta, guess):
    losses = drifting()
    previous = np.concatenate([np.zeros((1, 5)), losses[:-1]])
    hints = {"zero": 0 * losses, "previous": previous, "perfect": losses}[guess]
    given = None if guess == "previous" else hints
    plays = am.optimistic_hedge(losses, eta=eta, hints=given)
    change = np.sum(np.max(np.abs(losses - hints), axis=1) ** 2)
    assert regret(plays, losses) <= np.log(5) / eta + eta * change


def test_optimism_pays_where_losses_drift():
    losses = drifting()
    plain = regret(am.optimistic_hedge(losses, eta=1.0, hints=0 * losses), losses)
    hopeful = regret(am.optimistic_hedge(losses, eta=1.0), losses)
    assert hopeful < plain


def test_a_perfect_hint_is_be_the_leader():
    losses = RNG.uniform(size=(30, 4))
    plays = am.optimistic_hedge(losses, eta=200.0, hints=losses)
    leaders = np.argmin(np.cumsum(losses, axis=0), axis=1)
    assert (np.argmax(plays, axis=1) == leaders).all()


def test_changing_steps_are_mirror_descent_step_by_step():
    losses, eta = RNG.normal(size=(20, 4)), RNG.uniform(0.1, 1.0, size=20)
    plays = am.optimistic_hedge(losses, eta=eta)
    log_w, hint = np.zeros(4), np.zeros(4)
    for t, loss in enumerate(losses):
        np.testing.assert_allclose(
            plays[t], np.exp(am.entropic_mirror_step(log_w, hint, eta=eta[t])), rtol=1e-12
        )
        log_w, hint = am.entropic_mirror_step(log_w, loss, eta=eta[t]), loss


def test_weights_do_not_underflow_and_constants_cost_no_digits():
    losses = np.tile([1.0, 0.0], (5000, 1))
    plays = am.optimistic_hedge(losses, eta=1.0)
    assert np.isfinite(plays).all()
    assert (plays[-1] == [0.0, 1.0]).all()
    shifted = am.optimistic_hedge((RNG.uniform(size=(500, 3)) + 1e4).astype(np.float32), eta=0.1)
    assert np.abs(shifted.sum(axis=1) - 1).max() < 1e-6


def test_an_expert_that_is_out_stays_out():
    losses = np.asarray([[1.0, np.inf, 0.0], [0.0, np.nan, 1.0], [0.0, -50.0, 0.0]])
    plays = am.optimistic_hedge(losses, eta=0.5)
    assert plays[0, 1] > 0
    assert (plays[1:, 1] == 0).all()
    assert np.isfinite(plays).all()
    dead = am.entropic_mirror_step(np.asarray([0.0, -np.inf]), np.asarray([1.0, np.nan]), eta=1.0)
    assert (dead == [0.0, -np.inf]).all()
    assert (am.entropic_mirror_step(np.zeros(2), np.full(2, np.inf), eta=1.0) == -np.inf).all()


def test_gradients_of_the_dead_are_zero():
    losses = np.asarray([[1.0, np.inf, 0.0], [0.0, np.nan, 1.0], [0.0, 1.0, 0.0]])
    _, pull = am.vjp(lambda x: am.optimistic_hedge(x, eta=0.5), losses)
    (grad,) = pull(np.arange(9.0).reshape(3, 3))
    assert np.isfinite(grad).all()
    assert (grad[:, 1] == 0).all()
    assert (grad[2] == 0).all()  # the last loss is never played against


def test_projected_steps_reach_the_best_corner():
    grads = np.tile([0.3, 0.1, 0.2], (60, 1))
    plays = optimistic_mirror_descent(grads, np.full(3, 1 / 3), eta=0.2)
    np.testing.assert_allclose(plays[-1], [0.0, 1.0, 0.0], atol=1e-12)
    ball = optimistic_mirror_descent(grads, np.zeros(3), eta=1.0, projection="ball")
    np.testing.assert_allclose(ball[-1], -grads[0] / np.linalg.norm(grads[0]), rtol=1e-9)


def test_unknown_projections_and_steps_are_refused():
    with pytest.raises(ValueError, match="'simplex', 'ball', 'box'"):
        optimistic_mirror_descent(np.ones((2, 3)), np.ones(3), eta=0.1, projection="cone")
    with pytest.raises(ValueError, match="eta is -1"):
        am.optimistic_hedge(np.ones((2, 3)), eta=-1.0)
    with pytest.raises(ValueError, match="rounds, then experts"):
        am.optimistic_hedge(np.ones(3), eta=1.0)
