"""Policy losses: what is constant, whose conventions, and where others overflow."""

from __future__ import annotations

import numpy as np
import pytest

import anymax as am

RNG = np.random.default_rng(0)
LOGP = -np.abs(RNG.normal(size=(3, 4)))
OLD = LOGP + 0.3 * RNG.normal(size=(3, 4))
A = np.asarray([1.0, -0.5, 2.0])
WHERE = np.asarray([[True] * 4, [True, True, False, False], [False] * 4])


def gradients(f, *arrays):
    y, pull = am.vjp(f, *arrays)
    return pull(np.ones(np.shape(y)))


# -- constants ---------------------------------------------------------------------------------

_REWARD = np.asarray([1.0, 0.0, 1.0])
CONSTANTS = {
    "ppo_clip_loss": (am.ppo_clip_loss, (LOGP, OLD, A)),
    "gspo_loss": (am.gspo_loss, (LOGP, OLD, A)),
    "cispo_loss": (am.cispo_loss, (LOGP, OLD, A)),
    "sapo_loss": (am.sapo_loss, (LOGP, OLD, A)),
    "reinforce_loss": (am.reinforce_loss, (LOGP, A)),
    "self_critical_loss": (am.self_critical_loss, (LOGP, A, _REWARD)),
    "value_clip_loss": (am.value_clip_loss, (LOGP, OLD, A)),
    "grpo_loss": (
        lambda p, old, a, ref: am.grpo_loss(p, old, a, ref_logp=ref, beta=0.5),
        (LOGP, OLD, A, OLD + 0.25),
    ),
    "soft_q_loss": (am.soft_q_loss, (LOGP, OLD)),
    "sac_policy_loss": (am.sac_policy_loss, (LOGP, OLD)),
    "path_consistency_policy_loss": (
        am.path_consistency_policy_loss, (LOGP, OLD, OLD + 1.0, _REWARD),
    ),
    "lagrange_multiplier_loss": (
        am.lagrange_multiplier_loss, (A, LOGP[:, :3], _REWARD),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONSTANTS)
def test_only_the_first_argument_has_a_gradient(name):
    f, arrays = CONSTANTS[name]
    first, *others = gradients(f, *arrays)
    assert first.any()
    assert all(g is None or not np.any(g) for g in others)


@pytest.mark.parametrize("name", CONSTANTS)
def test_torch_agrees_on_what_is_constant(name):
    torch = pytest.importorskip("torch")
    f, arrays = CONSTANTS[name]
    leaves = [torch.tensor(x, requires_grad=True) for x in arrays]
    f(*leaves).backward()
    np.testing.assert_allclose(leaves[0].grad, gradients(f, *arrays)[0], rtol=1e-10)
    assert all(x.grad is None or not x.grad.any() for x in leaves[1:])


def test_values_alone_are_trained_by_their_loss():
    value = OLD + 1.0
    grads = gradients(am.path_consistency_value_loss, LOGP, OLD, value, _REWARD)
    assert grads[2].any()
    assert not grads[0].any()
    assert not grads[1].any()


# -- gradients that values do not show ---------------------------------------------------------


def test_gradients_of_policy_losses_agree_where_the_policy_has_not_moved():
    expected = gradients(am.reinforce_loss, LOGP, A)[0]
    for loss in (am.ppo_clip_loss, am.sapo_loss, am.grpo_loss, am.cispo_loss):
        grad = gradients(lambda p, loss=loss: loss(p, LOGP, A), LOGP)[0]
        np.testing.assert_allclose(grad, expected, rtol=1e-12)


def test_cispo_reaches_tokens_that_ppo_clips_away():
    old = LOGP - 1.0  # every ratio is e
    good = np.ones(3)
    assert not gradients(lambda p: am.ppo_clip_loss(p, old, good), LOGP)[0].any()
    grad = gradients(lambda p: am.cispo_loss(p, old, good, ratio_max=2.0, reduction="sum"), LOGP)[0]
    np.testing.assert_allclose(grad, -2.0)


def test_straight_through_has_the_gradient_of_k2():
    grad = gradients(lambda p: am.kl_estimate(p, OLD, straight_through=True), LOGP)[0]
    np.testing.assert_allclose(grad, LOGP - OLD, rtol=1e-14)
    value = am.kl_estimate(LOGP, OLD, straight_through=True)
    np.testing.assert_array_equal(value, am.kl_estimate(LOGP, OLD))


def test_k3_averages_to_the_divergence_and_keeps_its_digits():
    p, r = am.log_softmax(RNG.normal(size=6)), am.log_softmax(RNG.normal(size=6))
    kl = np.sum(np.exp(p) * (p - r))
    np.testing.assert_allclose(np.sum(np.exp(p) * am.kl_estimate(p, r)), kl, rtol=1e-12)
    d = np.asarray([1e-9])  # exp(-d) - 1 + d has no digit left there
    np.testing.assert_allclose(am.kl_estimate(d, 0 * d), d * d / 2, rtol=0.1, atol=1e-24)
    assert am.kl_estimate(np.asarray([-np.inf]), np.zeros(1)) == np.inf


def test_levels_of_path_consistency_differ_in_who_is_blamed():
    ref, value, reward = OLD[:1], OLD[:1] + 1.0, _REWARD[:1]
    states = np.asarray([[True, False, True, False]])
    beta, n = 0.5, 2

    def grad(level):
        f = lambda p: am.path_consistency_policy_loss(  # noqa: E731
            p, ref, value, reward, level=level, beta=beta, states=states
        )
        return gradients(f, LOGP[:1])[0][0]

    d = (LOGP - OLD)[0]
    error = beta * np.cumsum(d[::-1])[::-1] + value[0] - reward[0]
    own = 2 * beta * error * states[0]
    np.testing.assert_allclose(grad("token"), own / n, rtol=1e-12)
    steps = np.asarray([own[0], own[0], own[2], own[2]])
    np.testing.assert_allclose(grad("step"), steps / n, rtol=1e-12)
    np.testing.assert_allclose(grad("response"), np.full(4, own[0]), rtol=1e-12)


# -- overflow, padding, emptiness --------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_clipped_ratios_cannot_overflow(dtype):
    """exp(1000) is infinite, and infinity times a gradient of 0 is NaN elsewhere."""
    logp, old = np.zeros((1, 3), dtype), np.full((1, 3), -1000.0, dtype)
    for loss in (am.ppo_clip_loss, am.gspo_loss, am.cispo_loss, am.sapo_loss):
        f = lambda p, loss=loss: loss(p, old, np.ones(1, dtype))  # noqa: E731
        assert np.isfinite(f(logp))
        assert np.isfinite(gradients(f, logp)[0]).all()
    bad = -np.ones(1, dtype)
    f = lambda p: am.ppo_clip_loss(p, old, bad, dual_clip=3.0)  # noqa: E731
    np.testing.assert_allclose(f(logp), 3.0, rtol=1e-6)
    assert not gradients(f, logp)[0].any()
    assert am.ppo_clip_loss(logp, old, bad) == np.inf


def test_no_advantage_costs_nothing_whatever_the_ratio():
    logp, old = np.zeros((1, 2)), np.full((1, 2), -1000.0)
    for loss in (am.ppo_clip_loss, am.gspo_loss, am.cispo_loss, am.sapo_loss):
        f = lambda p, loss=loss: loss(p, old, np.zeros(1))  # noqa: E731
        assert f(logp) == 0.0
        assert not gradients(f, logp)[0].any()
    impossible = np.full((1, 2), -np.inf)
    assert am.reinforce_loss(impossible, np.zeros(1)) == 0.0


LOSSES = {
    "aggregate_loss": lambda p, **k: am.aggregate_loss(p, **k),
    "ppo_clip_loss": lambda p, **k: am.ppo_clip_loss(p, OLD, A, **k),
    "gspo_loss": lambda p, **k: am.gspo_loss(p, OLD, A, **k),
    "grpo_loss": lambda p, **k: am.grpo_loss(p, OLD, A, ref_logp=OLD, beta=0.5, **k),
    "cispo_loss": lambda p, **k: am.cispo_loss(p, OLD, A, **k),
    "sapo_loss": lambda p, **k: am.sapo_loss(p, OLD, A, **k),
    "reinforce_loss": lambda p, **k: am.reinforce_loss(p, A, **k),
    "self_critical_loss": lambda p, **k: am.self_critical_loss(p, A, _REWARD, **k),
    "value_clip_loss": lambda p, **k: am.value_clip_loss(p, OLD, A, **k),
}
REDUCTIONS = (
    "mean", "sum", "seq-mean-token-sum", "seq-mean-token-sum-norm", "seq-mean-token-mean",
)  # fmt: skip


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", LOSSES)
def test_padding_may_hold_anything_and_an_empty_batch_is_zero(name, reduction):
    loss = LOSSES[name]
    clean = gradients(lambda p: loss(p, where=WHERE, reduction=reduction), LOGP)[0]
    dirty = np.where(WHERE, LOGP, np.nan)
    grad = gradients(lambda p: loss(p, where=WHERE, reduction=reduction), dirty)[0]
    np.testing.assert_array_equal(grad, clean)
    assert not grad[~WHERE].any()
    nothing = np.zeros((3, 1), bool)
    f = lambda p: loss(p, where=nothing, reduction=reduction)  # noqa: E731
    assert f(dirty) == 0.0
    assert not gradients(f, dirty)[0].any()


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"aggregate_loss"}))
def test_losses_aggregate_as_aggregate_loss_does(name):
    each = LOSSES[name](LOGP, where=WHERE, reduction="none")
    for reduction in REDUCTIONS:
        whole = LOSSES[name](LOGP, where=WHERE, reduction=reduction)
        expected = am.aggregate_loss(each, where=WHERE, reduction=reduction)
        np.testing.assert_allclose(whole, expected, rtol=1e-13)


def test_empty_sequences_count_only_for_trl():
    loss = np.ones((3, 4))
    options = {"where": WHERE, "reduction": "seq-mean-token-mean"}
    assert am.aggregate_loss(loss, **options) == 1.0
    assert am.aggregate_loss(loss, empty="keep", **options) == 2 / 3
    norm = {"where": WHERE, "reduction": "seq-mean-token-sum-norm"}
    assert am.aggregate_loss(loss, **norm) == (4 + 2) / 4 / 2
    assert am.aggregate_loss(loss, length=6, empty="keep", **norm) == (4 + 2) / 6 / 3


# -- groups ------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.1, 1e-3, 1e6 + 0.1, -7.3])
def test_equal_rewards_have_no_advantage_at_all(value):
    """The mean of equal floats is off by a rounding, which eps = 1e-6 would not hide at 1e6."""
    reward, group = np.full(7, value), np.asarray([0, 0, 0, 1, 1, 1, 1])
    for eps in (0.0, 1e-6):
        assert not am.group_relative_advantage(reward, group, eps=eps).any()
    assert not am.leave_one_out_advantage(reward, group).any()


def test_groups_of_one():
    reward, group = np.asarray([3.0]), np.asarray([5])
    assert am.group_relative_advantage(reward, group, eps=0.5) == 2.0
    assert am.group_relative_advantage(reward, group, kind="mean") == 3.0
    assert am.group_relative_advantage(reward, group, singleton="zero") == 0.0
    assert am.leave_one_out_advantage(reward, group) == 3.0
    assert am.leave_one_out_advantage(reward, group, singleton="zero") == 0.0
    assert np.isfinite(gradients(lambda r: am.group_relative_advantage(r, group), reward)[0])


def test_leave_one_out_sums_to_zero_in_every_group():
    reward, group = RNG.normal(size=30), RNG.integers(0, 4, size=30)
    y = am.leave_one_out_advantage(reward, group)
    sums = [np.sum(y[group == g]) for g in range(4)]
    np.testing.assert_allclose(sums, 0.0, atol=1e-13)


def test_many_members_take_little_memory():
    """A mask of who is with whom would have 4e10 entries."""
    n = 200_000
    reward, group = RNG.normal(size=n), RNG.integers(0, n // 8, size=n)
    y = am.group_relative_advantage(reward, group, kind="mean")
    count = np.bincount(group, minlength=n // 8)
    mean = np.bincount(group, reward, minlength=n // 8) / np.maximum(count, 1)
    alone = count[group] == 1
    np.testing.assert_allclose(y, np.where(alone, reward, reward - mean[group]), atol=1e-12)


def test_no_value_leaks_between_trajectories_or_through_lambda_zero():
    reward = np.asarray([1.0, np.nan, 2.0, 4.0])
    y = am.step_discounted_returns(reward, np.asarray([0, 1, 0, 1]), gamma=0.5)
    np.testing.assert_array_equal(y, [2.0, np.nan, 2.0, 4.0])
    value = np.zeros((1, 3))
    late = np.asarray([[1.0, 1.0, np.nan]])
    a, _ = am.generalized_advantage_estimate(late, value, lam=0.0)
    np.testing.assert_array_equal(a, late)


def test_whitening_leaves_a_single_step_alone():
    """verl raises there, as it divides by n - 1."""
    reward, value = np.asarray([[2.0, 7.0]]), np.zeros((1, 2))
    where = np.asarray([[True, False]])
    a, _ = am.generalized_advantage_estimate(reward, value, where=where, whiten=True)
    np.testing.assert_array_equal(a, [[2.0, 0.0]])


# -- soft values, mixing, resampling -----------------------------------------------------------


def test_soft_value_lies_between_its_bounds():
    q = RNG.normal(size=(20, 5))
    for t in (0.01, 0.5, 4.0):
        gap = am.soft_value(q, temperature=t) - q.max(-1)
        assert np.all(gap >= -1e-12)
        assert np.all(gap <= t * np.log(5) + 1e-12)
    mellow = am.soft_value(q, log_prior=np.full(5, -np.log(5.0)))
    assert np.all(mellow <= q.max(-1))
    grad = gradients(lambda q: am.soft_value(q, temperature=0.5), q)[0]
    np.testing.assert_allclose(grad, am.boltzmann_policy(q, temperature=0.5), rtol=1e-12)


def test_boltzmann_policy_minimises_the_actor_loss():
    q = RNG.normal(size=(4, 3))
    f = lambda x: am.sac_policy_loss(x, q, temperature=0.5)  # noqa: E731
    assert np.abs(gradients(f, q / 0.5)[0]).max() < 1e-15
    best = f(q / 0.5)
    assert all(f(q / 0.5 + RNG.normal(size=q.shape)) > best for _ in range(10))
    np.testing.assert_allclose(best, -np.mean(am.soft_value(q, temperature=0.5)), rtol=1e-12)


def test_multipliers_rise_below_the_threshold_and_weights_sum_to_k():
    returns, threshold = np.asarray([[0.0, 1.0], [0.5, 1.5]]), np.asarray([0.5, 1.0])
    grad = gradients(lambda m: am.lagrange_multiplier_loss(m, returns, threshold), np.zeros(2))[0]
    np.testing.assert_allclose(grad, [-0.0625, 0.0625])  # descent raises the first
    ones = am.lagrangian_mixed_advantage(np.ones(1), np.ones((1, 3)), RNG.normal(size=3))
    np.testing.assert_allclose(ones, 3.0)
    far = am.lagrangian_mixed_advantage(np.ones(1), np.ones((1, 2)) * 5, np.full(2, -800.0))
    np.testing.assert_array_equal(far, 2.0)  # the KL advantage alone, and no overflow


def test_unsquashed_multipliers_work_for_any_number_of_rewards():
    """The official branch broadcasts for two rewards at most."""
    a, m = RNG.normal(size=(5, 4)), RNG.normal(size=4)
    kl = RNG.normal(size=5)
    y = am.lagrangian_mixed_advantage(kl, a, m, squash=None)
    np.testing.assert_allclose(y, kl + a @ m, rtol=1e-12)


def test_large_potentials_keep_their_order_and_nan_its_own():
    """exp(10 * 9) overflows float32 in the official code, which then ties 9 and 12."""
    x = np.asarray([9.0, 12.0, np.nan, 1.0], np.float32)
    w = am.losses.potential_resampling_weights(x)
    assert w[1] > w[0] > w[3]
    assert w[2] == 0.0
    np.testing.assert_allclose(w.sum(), 1.0, rtol=1e-6)


def test_resampling_follows_its_weights():
    w = np.asarray([0.1, 0.0, 0.6, 0.3])
    index = am.losses.potential_resample(w, (np.arange(1000) + 0.5) / 1000)
    np.testing.assert_array_equal(np.bincount(index, minlength=4), [100, 0, 600, 300])


# -- misuse ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: am.ppo_clip_loss(LOGP, OLD, A, reduction="token-mean"), ValueError,
         "ppo_clip_loss: reduction is 'token-mean'"),
        (lambda: am.ppo_clip_loss(LOGP, OLD, A, ratio="word"), ValueError, "ratio is 'word'"),
        (lambda: am.ppo_clip_loss(LOGP, OLD, A, dual_clip=0.5), ValueError, "dual_clip is 0.5"),
        (lambda: am.ppo_clip_loss(LOGP, OLD, A, length=3), ValueError, "length is given"),
        (lambda: am.ppo_clip_loss(LOGP, OLD, np.ones(4)), ValueError,
         "ppo_clip_loss: advantage has shape (4, 1)"),
        (lambda: am.ppo_clip_loss(LOGP, OLD, 1.0), TypeError, "advantage is 1.0; an array fits"),
        (lambda: am.grpo_loss(LOGP, OLD, A, beta=0.1), TypeError, "grpo_loss: beta is 0.1"),
        (lambda: am.kl_estimate(LOGP, OLD, kind="k4"), ValueError, "kind is 'k4'"),
        (lambda: am.kl_estimate(LOGP, OLD, kind="k1", clip=(1, 1)), ValueError, "only 'k3'"),
        (lambda: am.aggregate_loss(np.asarray(1.0)), ValueError, "aggregate_loss: loss has 0 axes"),
        (lambda: am.group_relative_advantage(A, A), TypeError, "group is float64"),
        (lambda: am.group_relative_advantage(A, np.zeros(2, int)), ValueError, "shape (2,)"),
        (lambda: am.leave_one_out_advantage(A, np.zeros(3, int), singleton="x"), ValueError,
         "leave_one_out_advantage: singleton is 'x'"),
        (lambda: am.generalized_advantage_estimate(LOGP, A), ValueError, "the same shape"),
        (lambda: am.path_consistency_policy_loss(LOGP, OLD, OLD, A, hinge_coeff=1.0), ValueError,
         "hinge_coeff goes with level 'response'"),
        (lambda: am.soft_q_loss(LOGP, A, action=np.asarray([0, 4, 1])), IndexError, "label 4"),
        (lambda: am.losses.potential_score(A, kind="top_k"), TypeError, "potential_score: k is"),
        (lambda: am.lagrangian_mixed_advantage(A, LOGP, LOGP[0], squash="relu"), ValueError,
         "lagrangian_mixed_advantage: squash is 'relu'"),
    ],
)  # fmt: skip
def test_misuse_says_what_fits(call, error, text):
    with pytest.raises(error) as info:
        call()
    assert text in str(info.value)
