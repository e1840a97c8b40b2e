"""Distributionally robust losses, in which each example has a temperature of its own (TempNet)."""

from __future__ import annotations

from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._classes import class_axis, class_last, classes
from anymax.losses.contrastive import _robust, _views
from anymax.losses.contrastive._views import views
from anymax.primitives._masked import kept, select
from anymax.primitives.row_softmax import row_log_softmax
from anymax.softmaxes._operands import beside_tape, operands


@form(
    shapes="logits: ... C, target: ..., temperature: ... -> ",
    papers=("2404.04575",),
    cost="O(n)",
    primitives=("row_log_softmax",),
)
def kl_dro_loss(
    logits: Array,
    target: Array,
    temperature: Array,
    /,
    *,
    rho: float | Array,
    min_temperature: float = 0.0,
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Dual of the worst expected margin over class weights within a KL ball of the even ones.

    .. math::

        \ell(\tau) = \tau\log\Big(\frac1V\sum_j e^{(z_j - z_y)/\tau}\Big) + \rho\,(\tau - \tau_0)

    Parameters
    ----------
    logits : array (..., C)
        Unnormalised log-probabilities z, the classes on `axis`; V of them take part.
    target : integer array (...)
        True classes y.
    temperature : array (...)
        :math:`\tau > 0` of each example; it broadcasts.
    rho : float or array
        :math:`\rho\ge 0`, the radius of the ball; an array broadcasts to (...) and is
        differentiated too.  The official runs have 8 (GPT-2) and 10 (LLaMA).
    min_temperature : float
        :math:`\tau_0`, which only adds a constant.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.
    weight : array (C,)
        Class weights.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the targets' weights.

    Returns
    -------
    array () or (...)
        A scalar, or per-example losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.cross_entropy`; a temperature that is not positive.

    Notes
    -----
    The least value over :math:`\tau\ge\tau_0` is the worst :math:`\sum_j p_j (z_j - z_y) -
    \tau_0\,\mathrm{KL}(p\,\|\,1/V)` over weights p with :math:`\mathrm{KL}\le\rho`; see
    :func:`anymax.optimal_temperature`.  It is convex in :math:`\tau`, with

    .. math:: \partial\ell/\partial z = p - [y],\qquad
              \partial\ell/\partial\tau = \rho - \mathrm{KL}(p\,\|\,1/V),\quad
              p = \operatorname{softmax}(z/\tau)

    With :math:`\tau=1` and :math:`\rho=\log V` it is the cross entropy.  For
    :math:`\tau\to\infty` a difference of numbers as large as :math:`\tau\log V` is left.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logits, tau = np.asarray([1.0, 0.0, -1.0]), np.asarray(0.5)
    >>> round(float(am.kl_dro_loss(logits, np.asarray(1), tau, rho=0.25)), 6)
    0.64716

    References
    ----------
    .. [1] Z.-H. Qiu, S. Guo, M. Xu, T. Zhao, L. Zhang, T. Yang, "To cool or not to cool?
       Temperature network meets large foundation models via DRO", ICML 2024. arXiv:2404.04575.
    """
    name = "kl_dro_loss"
    _array.namespace(
        name, logits=logits, target=target, temperature=temperature, rho=rho, where=where,
        weight=weight,
    )  # fmt: skip
    _array.required(name, logits=logits, target=target, temperature=temperature)
    if rho is None:
        raise TypeError(f"{name}: rho is None; a number or an array fits")
    xp = _array.namespace(name, logits=logits, temperature=temperature, rho=rho)
    logits, t, r, w = _array.promote(
        xp, name, logits=logits, temperature=temperature, rho=rho, weight=weight
    )
    logits = beside_tape(xp, logits)  # the temperature alone may be under the tape
    c = classes(
        name, logits, target, axis=axis, where=where, weight=w, reduction=reduction, soft=False
    )
    t = _robust.each(c, name, "temperature", t)
    r = r if _array.is_scalar(r) else _robust.each(c, name, "rho", r, positive=False)
    z = c.logits / t[..., None]
    y = select(xp, c.keep, row_log_softmax(z, c.keep, axis=(z.ndim - 1,), scale=1.0))
    count = xp.sum(xp.astype(c.keep, z.dtype), axis=-1)
    uneven = -c.at_target(y) - xp.log(select(xp, count > 0, count, 1.0))
    loss = t * uneven + r * (t - float(min_temperature))
    return c.finish(loss, reduction)


@form(
    shapes="logits: ... C -> ...",
    papers=("2404.04575",),
    cost="O(n)",
)
def optimal_temperature(
    logits: Array,
    /,
    *,
    rho: float | Array,
    min_temperature: float = 0.01,
    max_temperature: float | None = None,
    axis: int = -1,
    where: Array | None = None,
) -> Array:
    r"""The temperature at which the softmax is a given KL divergence away from even weights.

    .. math::

        \tau^* = \operatorname*{argmin}_{\tau_0\le\tau\le\tau_1}
                 \tau\log\Big(\frac1V\sum_j e^{z_j/\tau}\Big) + \rho\tau,\qquad
        \mathrm{KL}\big(\operatorname{softmax}(z/\tau^*)\,\|\,1/V\big) = \rho

    Parameters
    ----------
    logits : array (..., C)
        Logits z, the classes on `axis`; V of them take part.
    rho : float or array
        :math:`\rho\ge 0`; an array broadcasts to (...) and is differentiated too.
    min_temperature : float
        :math:`\tau_0 > 0`, the answer wherever the divergence is at most :math:`\rho` there.
    max_temperature : float
        :math:`\tau_1`, the answer wherever the divergence is at least :math:`\rho` there.  None:
        no limit.
    axis : int
        The class axis.
    where : boolean array, broadcastable to `logits`
        True where a class takes part.

    Returns
    -------
    array (...)
        Temperatures; `min_temperature` for an empty row and for equal logits, +inf for
        :math:`\rho = 0` without a limit.

    Raises
    ------
    TypeError, ValueError, IndexError
        Shapes or dtypes that do not fit; limits that are not positive or in disorder.

    Notes
    -----
    The divergence falls from :math:`\log(V/\text{ties})` at :math:`\tau\to 0` to 0.  Newton's
    method on the logarithms of both, inside a bracket, ends with one differentiable step:
    :math:`\partial\tau/\partial z_j = \tau p_j(z_j-\bar z)/\operatorname{Var}_p z` and
    :math:`\partial\tau/\partial\rho = -\tau^3/\operatorname{Var}_p z`, and 0 at the limits.  (The
    official code takes ten plain Newton steps.)  In :func:`anymax.kl_dro_loss` no derivative of
    this is needed, as its slope is 0 there.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> z = np.asarray([1.0, 0.0, -1.0])
    >>> tau = am.optimal_temperature(z, rho=0.25)
    >>> p = am.softmax(z, temperature=tau[None])
    >>> round(float((p * np.log(3 * p)).sum()), 6)
    0.25

    References
    ----------
    .. [1] Z.-H. Qiu, S. Guo, M. Xu, T. Zhao, L. Zhang, T. Yang, "To cool or not to cool?
       Temperature network meets large foundation models via DRO", ICML 2024. arXiv:2404.04575.
    """
    name = "optimal_temperature"
    _array.namespace(name, logits=logits, rho=rho, where=where)
    _array.required(name, logits=logits)
    if rho is None:
        raise TypeError(f"{name}: rho is None; a number or an array fits")
    low, high = _robust.limits(name, min_temperature, max_temperature)
    axis = class_axis(name, axis, logits.ndim)
    _array.check_mask(name, "where", where, logits.shape, "logits")
    full = tuple(logits.shape)
    o = operands(name, logits=logits, rho=rho)
    xp, (x, r) = o.xp, o.arrays
    x = class_last(xp, x, axis)
    if where is not None:
        where = class_last(xp, xp.broadcast_to(where, full), axis)
    r = xp.full_like(xp.sum(x, axis=-1), r) if _array.is_scalar(r) else r
    _array.check_broadcast(name, "rho", r, x.shape[:-1], "the temperatures")
    return o.finish(_robust.solve(xp, x, kept(xp, x, where), r, low, high))


@form(
    shapes="image: ... B D, text: ... B D, image_temperature: ... B, text_temperature: ... B -> ",
    papers=("2404.04575", "2305.11965"),
    cost="O(B^2 D) time, O(B D) memory on a CPU",
    primitives=("pairwise_logsumexp",),
)
def robust_global_contrastive_loss(
    image: Array,
    text: Array,
    image_temperature: Array,
    text_temperature: Array,
    /,
    *,
    rho: float | Array = 8.0,
    normalize: bool = True,
    surrogate: bool = False,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Robust contrastive loss of images and texts, each with a temperature of its own.

    .. math::

        \ell_i = \tau_i\log\Big(\frac1{B-1}\sum_{j\ne i} e^{(S_{ij}-S_{ii})/\tau_i}\Big)
                 + \rho\tau_i + \text{the same over columns},\qquad S_{ij} = \langle u_i,v_j\rangle

    Parameters
    ----------
    image, text : array (..., B, D)
        Vectors; text i belongs to image i.
    image_temperature, text_temperature : array (..., B)
        :math:`\tau > 0` of each image and of each text; they broadcast.
    rho : float or array
        :math:`\rho\ge 0`; an array broadcasts to (..., B) and is differentiated too.
    normalize : bool
        Divide vectors by their lengths first, so that products are cosines.
    surrogate : bool
        Return the value of the official code, :math:`\sum_{j\ne i} w_{ij}(S_{ij}-S_{ii})` of both
        sides with :math:`w` the softmax of the exponents.  Gradients stay those of the loss.
    where : boolean array, broadcastable to (..., B, B)
        True where a pair takes part.
    weight : array, broadcastable to (..., B)
        Weights of the pairs.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of weights.

    Returns
    -------
    array () or (..., B)
        A scalar, or the sums of both sides with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.info_nce`; temperatures that are not positive.

    Notes
    -----
    The positive is in no denominator, unlike in :func:`anymax.info_nce`.  It is
    :func:`anymax.kl_dro_loss` over the B - 1 negatives.  A side without negatives costs 0; a pair
    without any leaves the mean; one whose positive alone is masked costs +inf.  The official code
    also keeps running estimates of the sums, which are state and not offered.  The kernel works
    tile by tile on a CPU, but `surrogate` holds all products.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> z, tau = np.eye(2), np.ones(2)
    >>> float(am.robust_global_contrastive_loss(z, z, tau, tau, rho=0.5))
    -1.0

    References
    ----------
    .. [1] Z.-H. Qiu, S. Guo, M. Xu, T. Zhao, L. Zhang, T. Yang, "To cool or not to cool?
       Temperature network meets large foundation models via DRO", ICML 2024. arXiv:2404.04575.
    .. [2] Z.-H. Qiu, Q. Hu, Z. Yuan, D. Zhou, L. Zhang, T. Yang, "Not all semantics are created
       equal: contrastive self-supervised learning with automatic temperature individualization",
       ICML 2023 (iSogCLR). arXiv:2305.11965.
    """
    name = "robust_global_contrastive_loss"
    v = views(
        name, "image: ... B D, text: ... B D", image=image, text=text,
        image_temperature=image_temperature, text_temperature=text_temperature, rho=rho,
        where=where, weight=weight, reduction=reduction,
    )  # fmt: skip
    _array.required(name, image_temperature=image_temperature, text_temperature=text_temperature)
    xp, (a, b, s, t, r) = v.xp, v.arrays
    if normalize:
        a, b = _views.normalized(xp, a), _views.normalized(xp, b)
    rows = (*_views.batch_of(name, image=a, text=b), a.shape[-2])
    where = _views.mask_of(xp, name, where, (*rows, rows[-1]))
    s = _views.heat(v, name, s, rows, where, "image_temperature")
    turned = None if where is None else xp.matrix_transpose(where)
    t = _views.heat(v, name, t, rows, turned, "text_temperature")
    if not _array.is_scalar(r):
        _array.check_broadcast(name, "rho", r, rows, "the unreduced loss")
    loss, live = _robust.two_sided(xp, (a, b), (s, t), r, where, rows, surrogate)
    return v.finish(loss, reduction, live)


@form(
    shapes="x: ... D -> ...",
    papers=("2404.04575",),
    cost="O(D H)",
    level="module",
)
def temperature_net(
    x: Array,
    params: tuple[Array, ...],
    /,
    *,
    min_temperature: float,
    max_temperature: float,
    kind: str = "llm",
) -> Array:
    r"""A small network from logits or features to a temperature between two limits (TempNet).

    .. math::

        \tau = \tau_0 + (\tau_1-\tau_0)\,\sigma\big(c + \langle u, (w - 1/H)\,h\rangle\big),\qquad
        w = \operatorname{softmax}(g / e^{s})

    with :math:`g = h = W_2\,\sigma(W_1 x/\lVert x\rVert + b_1) + b_2` for "llm", and for "clip"
    :math:`g = P\,\sigma(W x + b)`, rows of P of length one, and :math:`h = \sigma(g)`.

    Parameters
    ----------
    x : array (..., D)
        Logits of a language model, or features of an image or a text.
    params : tuple of arrays
        "llm": (W1 (H1, D), b1, W2 (H, H1), b2, u (1, H), c (1,), s ()).
        "clip": (W (E, D), b, P (H, E), u (1, H), c (1,), s ()).
    min_temperature, max_temperature : float
        The limits :math:`\tau_0 < \tau_1`.
    kind : {"llm", "clip"}
        Which of the two networks.

    Returns
    -------
    array (...)
        Temperatures.

    Raises
    ------
    TypeError, ValueError
        Another `kind`, another number of parameters, or shapes that do not fit.

    Notes
    -----
    As the official networks are evaluated: without their dropout in training.  Weights have the
    layout of torch, (out, in).  Zero vectors stay zero.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> one, zero = np.ones((2, 2)), np.zeros(2)
    >>> params = (one, zero, one, zero, np.ones((1, 2)), np.zeros(1), np.zeros(()))
    >>> x = np.asarray([3.0, 4.0])
    >>> float(am.losses.temperature_net(x, params, min_temperature=0.5, max_temperature=1.5))
    1.0

    References
    ----------
    .. [1] Z.-H. Qiu, S. Guo, M. Xu, T. Zhao, L. Zhang, T. Yang, "To cool or not to cool?
       Temperature network meets large foundation models via DRO", ICML 2024. arXiv:2404.04575.
    """
    name = "temperature_net"
    if kind not in ("llm", "clip"):
        raise ValueError(f"{name}: kind is {kind!r}; 'llm' or 'clip' fits")
    low, high = _robust.limits(name, min_temperature, max_temperature)
    wanted = 7 if kind == "llm" else 6
    if not isinstance(params, tuple) or len(params) != wanted:
        raise ValueError(f"{name}: params must be a tuple of {wanted} arrays for kind {kind!r}")
    named: dict[str, Any] = {f"params[{i}]": p for i, p in enumerate(params)}
    _array.namespace(name, x=x, **named)
    _array.required(name, x=x, **named)
    o = operands(name, x=x, **named)
    u = _robust.network(o.xp, name, kind, *o.arrays)
    return o.finish(low + (high - low) * u)
