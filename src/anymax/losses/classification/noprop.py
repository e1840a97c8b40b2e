"""NoProp: layers that denoise an embedding of the label, each trained by a loss of its own."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._classes import Classes, classes
from anymax.losses._reduction import check_reduction, reduced
from anymax.primitives._masked import select
from anymax.softmaxes._operands import Operands, operands, spread

_PAPER = ("2503.24322",)


class _Denoised(NamedTuple):
    """Checked arguments: classes, squared errors (...), the KL term (...), and scalars (...)."""

    ops: Operands
    case: Classes
    error: Array
    kl: Array
    rates: tuple[Array, ...]

    def finish(self, factor: Array, reduction: str) -> Array:
        case = self.case
        loss = -case.at_target(case.log_softmax()) + self.kl + factor * self.error
        return self.ops.finish(case.finish(loss, reduction))


@form(
    shapes="logits: ... C, target: ..., prediction: ... D, embedding: ... D, snr: ..., "
    "snr_prev: ... -> ",
    papers=_PAPER, cost="O(B (C + D))", primitives=("row_log_softmax",),
)  # fmt: skip
def noprop_dt_loss(
    logits: Array,
    target: Array,
    prediction: Array,
    embedding: Array,
    snr: Array,
    snr_prev: Array,
    /,
    *,
    alpha_bar_0: float | Array,
    num_steps: int,
    eta: float | Array = 0.1,
    reduction: str = "mean",
) -> Array:
    r"""Loss of one layer of discrete-time NoProp: classify the end, denoise the step.

    .. math:: \ell = \mathrm{CE}(\text{logits}, y) + \mathrm{KL}(q(z_0 \mid y)\,\Vert\,
        \mathcal N(0, I)) + \tfrac{T}{2}\,\eta\,(\mathrm{SNR}_t - \mathrm{SNR}_{t-1})\,
        \lVert \hat u_t - u_y\rVert^2

    Parameters
    ----------
    logits : array (..., C)
        Logits of the classifier at the last step.
    target : integer array (...) or floating array (..., C)
        Class indices, or probabilities.
    prediction : array (..., D)
        :math:`\hat u_t`, the embedding that the layer predicts.
    embedding : array (..., D)
        :math:`u_y`, the embedding of the label.
    snr, snr_prev : array (...) and (...)
        Signal-to-noise ratios :math:`\bar\alpha / (1 - \bar\alpha)` at t and t - 1.
    alpha_bar_0 : float or array ()
        :math:`\bar\alpha_0` in [0, 1), how much of the label is left in :math:`z_0`.
    num_steps : int
        T, the number of layers: t is uniform among them.
    eta : float or array ()
        :math:`\eta`; the value 0.1 is recalled, not checked against the paper.
    reduction : {"mean", "sum", "none"}
        An example whose logits are all -inf costs 0 and is left out of the mean.

    Returns
    -------
    array () or (...)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.cross_entropy`; `alpha_bar_0` outside [0, 1), or no step.

    Notes
    -----
    :math:`\bar\alpha` grows with t: z_0 is noise.  The divergence is
    :math:`\tfrac12(\bar\alpha_0 \lVert u_y\rVert^2 - D\bar\alpha_0 - D\log(1 - \bar\alpha_0))`, 0
    at :math:`\bar\alpha_0 = 0`; third parties write :math:`\tfrac12\lVert u_y\rVert^2`, the wrong
    scale.  Equal ratios give the denoising term no weight.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> u = np.asarray([[1.0, 0.0]])
    >>> x, y, snr = np.zeros((1, 2)), np.asarray([0]), np.asarray([2.0])
    >>> loss = am.noprop_dt_loss(x, y, 0 * u, u, snr, snr - 1, alpha_bar_0=0.0, num_steps=10)
    >>> round(float(loss - np.log(2.0)), 12)
    0.5

    References
    ----------
    .. [1] Q. Li, Y. W. Teh, R. Pascanu, "NoProp: training neural networks without back-propagation
       or forward-propagation", 2025, equation 8. arXiv:2503.24322.
    """
    name = "noprop_dt_loss"
    if not num_steps >= 1:
        raise ValueError(f"{name}: num_steps is {num_steps!r}; at least 1 fits")
    given = _denoised(
        name, logits, target, prediction, embedding, alpha_bar_0, eta, reduction,
        snr=snr, snr_prev=snr_prev,
    )  # fmt: skip
    snr, snr_prev, eta = given.rates
    return given.finish((0.5 * num_steps) * eta * (snr - snr_prev), reduction)


def _denoised(
    function: str,
    logits: Array,
    target: Array,
    prediction: Array,
    embedding: Array,
    alpha_bar_0: float | Array,
    eta: float | Array,
    reduction: str,
    **rates: Array,
) -> _Denoised:
    check_reduction(function, reduction)
    given = {"logits": logits, "prediction": prediction, "embedding": embedding, **rates}
    _array.required(function, **given, target=target)
    _array.namespace(function, **given, target=target)
    soft = {"target": target} if _array.is_floating(target) else {}
    ops = operands(function, **given, **soft, alpha_bar_0=alpha_bar_0, eta=eta)
    xp, named = ops.xp, dict(zip((*given, *soft, "alpha_bar_0", "eta"), ops.arrays))
    case = classes(function, named["logits"], named.get("target", target), reduction=reduction)
    batch = tuple(case.live.shape)

    def spare(name: str, *tail: int) -> Array:
        """The array where examples take part, 0 elsewhere."""
        x = named[name]
        shape = batch + (tuple(x.shape[-1:]) if tail else ())
        _array.check_broadcast(function, name, x, shape, "the examples")
        keep = case.live[..., None] if tail else case.live
        return select(xp, keep, spread(xp, x, shape))

    u = spare("embedding", -1)
    error = _square(xp, spare("prediction", -1) - u)
    kl = _divergence(xp, function, u, named["alpha_bar_0"])
    return _Denoised(ops, case, error, kl, (*(spare(r) for r in rates), named["eta"]))


def _square(xp: Any, x: Array) -> Array:
    return xp.sum(x * x, axis=-1)


def _divergence(xp: Any, function: str, u: Array, alpha_bar: float | Array) -> Array:
    """KL of N(sqrt(alpha_bar) u, (1 - alpha_bar) I) from N(0, I)."""
    d = u.shape[-1]
    if _array.is_scalar(alpha_bar):
        if not 0.0 <= alpha_bar < 1.0:
            raise ValueError(f"{function}: alpha_bar_0 is {alpha_bar}; a number in [0, 1) fits")
        constant: Any = -d * (alpha_bar + math.log1p(-alpha_bar))
    else:
        constant = -d * (alpha_bar + xp.log1p(-alpha_bar))
    return 0.5 * (alpha_bar * _square(xp, u) + constant)


@form(
    shapes="logits: ... C, target: ..., prediction: ... D, embedding: ... D, snr_rate: ... -> ",
    papers=_PAPER, cost="O(B (C + D))", primitives=("row_log_softmax",),
)  # fmt: skip
def noprop_ct_loss(
    logits: Array,
    target: Array,
    prediction: Array,
    embedding: Array,
    snr_rate: Array,
    /,
    *,
    alpha_bar_0: float | Array,
    eta: float | Array = 1.0,
    reduction: str = "mean",
) -> Array:
    r"""Loss of continuous-time NoProp: classify the end, denoise at one time.

    .. math:: \ell = \mathrm{CE}(\text{logits}, y) + \mathrm{KL}(q(z_0 \mid y)\,\Vert\,
        \mathcal N(0, I)) + \tfrac12\,\eta\,\mathrm{SNR}'(t)\,\lVert \hat u - u_y\rVert^2

    Parameters
    ----------
    logits : array (..., C)
        Logits of the classifier at t = 1.
    target : integer array (...) or floating array (..., C)
        Class indices, or probabilities.
    prediction : array (..., D)
        :math:`\hat u(z_t, x, t)`.
    embedding : array (..., D)
        :math:`u_y`, the embedding of the label.
    snr_rate : array (...)
        :math:`\mathrm{SNR}'(t)` at a time t drawn uniformly from (0, 1); with
        :math:`\mathrm{SNR} = e^{-\gamma(t)}` it is :math:`-\gamma' e^{-\gamma}`.
    alpha_bar_0 : float or array ()
        :math:`\bar\alpha(0)` in [0, 1), how much of the label is left in :math:`z_0`.
    eta : float or array ()
        :math:`\eta`.  The paper's value was not found: 1 leaves the bound as it is.
    reduction : {"mean", "sum", "none"}
        An example whose logits are all -inf costs 0 and is left out of the mean.

    Returns
    -------
    array () or (...)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.noprop_dt_loss`.

    Notes
    -----
    The limit of many steps of :func:`anymax.noprop_dt_loss`.  The form rests on secondary sources:
    the paper's text was not at hand.  It is differentiable by `snr_rate`, for a learned schedule.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> u = np.asarray([[1.0, 0.0]])
    >>> x, y, rate = np.zeros((1, 2)), np.asarray([0]), np.asarray([3.0])
    >>> loss = am.noprop_ct_loss(x, y, 0 * u, u, rate, alpha_bar_0=0.0)
    >>> round(float(loss - np.log(2.0)), 12)
    1.5

    References
    ----------
    .. [1] Q. Li, Y. W. Teh, R. Pascanu, "NoProp: training neural networks without back-propagation
       or forward-propagation", 2025, section 2.2. arXiv:2503.24322.
    """
    given = _denoised(
        "noprop_ct_loss", logits, target, prediction, embedding, alpha_bar_0, eta, reduction,
        snr_rate=snr_rate,
    )  # fmt: skip
    rate, eta = given.rates
    return given.finish(0.5 * eta * rate, reduction)


@form(
    shapes="velocity: ... D, embedding: ... D, z0: ... D -> ",
    papers=_PAPER, cost="O(B (C + D))", primitives=("row_log_softmax",),
)  # fmt: skip
def noprop_fm_loss(
    velocity: Array,
    embedding: Array,
    z0: Array,
    /,
    *,
    logits: Array | None = None,
    target: Array | None = None,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Loss of flow-matching NoProp: the velocity that leads from noise to the label.

    .. math:: \ell = \lVert v(z_t, x, t) - (u_y - z_0)\rVert^2
        \;[{} + \mathrm{CE}(\text{logits}, y)]

    Parameters
    ----------
    velocity : array (..., D)
        v, predicted at :math:`z_t \sim \mathcal N(t u_y + (1 - t) z_0, \sigma^2 I)`.
    embedding : array (..., D)
        :math:`u_y`, the embedding of the label.
    z0 : array (..., D)
        The noise that the path starts from.
    logits : array (..., C), optional
        Logits of a classifier on the extrapolated :math:`z_t + (1 - t) v`; needed when embeddings
        are learned, as they would collapse without it.
    target : integer array (...) or floating array (..., C), optional
        Class indices, or probabilities, for `logits`.
    where : boolean array, broadcastable to (...)
        True where an example takes part.
    weight : array, broadcastable to (...)
        Weights of the examples; the mean divides by their sum.
    reduction : {"mean", "sum", "none"}
        An example that takes no part, or whose logits are all -inf, is left out of the mean.

    Returns
    -------
    array () or (...)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        One of `logits` and `target` without the other, or shapes that don't fit.

    Notes
    -----
    Quoted from memory and secondary sources; the paper's text was not at hand.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> u, z = np.asarray([[1.0, 2.0]]), np.zeros((1, 2))
    >>> float(am.noprop_fm_loss(z, u, z))
    5.0

    References
    ----------
    .. [1] Q. Li, Y. W. Teh, R. Pascanu, "NoProp: training neural networks without back-propagation
       or forward-propagation", 2025, section 2.3. arXiv:2503.24322.
    """
    name = "noprop_fm_loss"
    check_reduction(name, reduction)
    if (logits is None) != (target is None):
        raise TypeError(f"{name}: logits and target go together; both or none fit")
    given = {"velocity": velocity, "embedding": embedding, "z0": z0}
    _array.required(name, **given)
    _array.namespace(name, **given, target=target, where=where)
    ops = operands(name, **given, logits=logits, weight=weight)
    xp, (v, u, z0, logits, weight) = ops.xp, ops.arrays
    shape = tuple(v.shape)
    for other, x in (("embedding", u), ("z0", z0)):
        _array.check_broadcast(name, other, x, shape, "velocity")
    _array.check_mask(name, "where", where, shape[:-1], "the unreduced loss")
    if weight is not None:
        _array.check_broadcast(name, "weight", weight, shape[:-1], "the unreduced loss")
    live = xp.ones_like(v[..., 0]) == 1 if where is None else xp.broadcast_to(where, shape[:-1])
    loss = 0.0
    if logits is not None:
        if _array.is_floating(target):
            target = _array.cast(xp, target, logits.dtype)
        case = classes(name, logits, target, where=live[..., None])
        live = case.live
        loss = select(xp, case.hopeless, xp.full_like(v[..., 0], xp.inf))
        loss = loss - case.at_target(case.log_softmax())
    loss = loss + _square(xp, select(xp, live[..., None], v - (u - z0)))
    return ops.finish(reduced(xp, loss, reduction, live=live, weight=weight))
