"""Auxiliary losses that keep the experts of a mixture balanced and its router's logits small."""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array, stop_gradient
from anymax._form import form
from anymax.losses._reduction import check_reduction, mean_over, reduced
from anymax.losses._targets import multi_hot
from anymax.losses.divergences._pair import check_weight
from anymax.primitives._masked import select
from anymax.primitives.row_softmax import row_logsumexp
from anymax.softmaxes._operands import check_count, operands
from anymax.softmaxes._rows import rows


@form(
    shapes="logits: ... E -> ...", papers=("2202.08906",), cost="O(n)",
    primitives=("row_logsumexp",),
)  # fmt: skip
def router_z_loss(
    logits: Array,
    /,
    *,
    axis: int | tuple[int, ...] | None = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
    coeff: float = 1e-3,
) -> Array:
    r"""Squared logsumexp of a router's logits, which keeps them small.

    .. math:: \ell_t = c\,\Big(\log\sum_e e^{x_{te}}\Big)^2

    Parameters
    ----------
    logits : array (..., E)
        Logits of E experts.
    axis : int, tuple of ints or None
        Axes of the experts; None means all of them.
    where : boolean array, broadcastable to `logits`
        True where an expert takes part.  Shape (..., 1) keeps or drops whole tokens.
    weight : array, broadcastable to the unreduced loss
        Weights of the tokens.
    reduction : {"mean", "sum", "none"}
        The mean divides by the number of tokens that count, or by the sum of their weights.
    coeff : float
        c multiplies the finished loss.

    Returns
    -------
    array () or (...)
        The loss, or one per token with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.logsumexp`; `weight` doesn't fit, or `reduction` is unknown.

    Notes
    -----
    The derivative is 2 c lse p.  Unlike a softmax, it sees the same number added to all logits: 0
    where exp(x) sums to 1.  A token without an expert costs 0 and leaves the mean.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.router_z_loss(np.zeros((2, 4)), coeff=1.0) / np.log(4.0) ** 2
    np.float64(1.0)

    References
    ----------
    .. [1] B. Zoph et al., "ST-MoE: designing stable and transferable sparse expert models",
       arXiv:2202.08906, 2022, equation 5.
    """
    name = "router_z_loss"
    check_reduction(name, reduction)
    _array.required(name, logits=logits)
    given = operands(name, logits=logits, weight=weight)
    x, weight = given.arrays
    r = rows(name, x, axis, where)
    lse = row_logsumexp(r.x, r.where, axis=r.axis, scale=1.0)
    shape = tuple(x.shape) if r.scalar else tuple(lse.shape)
    check_weight(name, weight, shape)
    xp, live = r.xp, lse != -r.xp.inf
    fine = xp.isfinite(lse)
    bad = stop_gradient(lse)  # rows with NaN or +inf have no gradient: it would reach masked cells
    root = select(xp, fine, lse)
    loss = coeff * (root * root + select(xp, live & ~fine, bad * bad))
    return given.finish(reduced(xp, loss, reduction, live=live, weight=weight))


@form(
    shapes="probs: ... T E, assignment: ... T K -> ", papers=("2101.03961", "2006.16668"),
    cost="O(T E)",
)  # fmt: skip
def load_balancing_loss(
    probs: Array,
    assignment: Array | None,
    /,
    *,
    k: int = 1,
    counts: Array | None = None,
    coeff: float = 1e-2,
    where: Array | None = None,
) -> Array:
    r"""Load-balancing loss of a router: shares of tokens times shares of probability.

    .. math:: c\,E \sum_{e=1}^{E} f_e\,P_e, \qquad f_e = \frac{n_e}{k\,T},\quad
        P_e = \frac1T \sum_t p_{te}

    Parameters
    ----------
    probs : array (..., T, E)
        Probabilities p of E experts for T tokens; leading axes are sequences, and averaged.
    assignment : integer array (..., T, K) or (..., T), or boolean array (..., T, E)
        The experts of each token, padded with -1; a constant.  None with `counts`.
    k : int
        Experts per token, K.
    counts : array (E,), optional
        Tokens of each expert, in the place of those counted here, e.g. of a global batch; a
        constant.  Only their shares count.
    coeff : float
        c multiplies the finished loss.
    where : boolean array, broadcastable to `probs`
        True where an expert takes part.  Shape (..., T, 1) keeps or drops whole tokens.

    Returns
    -------
    array ()
        The loss.

    Raises
    ------
    TypeError
        An argument has the wrong kind of dtype; neither or both of `assignment` and `counts`.
    ValueError
        Shapes do not fit, or `assignment` doesn't have `k` experts a token.
    IndexError
        `assignment` holds numbers outside [0, E).

    Notes
    -----
    c when tokens or probabilities are spread evenly, c E / k when all go to the same k experts.
    It divides by k as Megatron does; the value of Hugging Face's Mixtral is k times larger.  The
    gradient flows through P alone: c E f / T.  Sequences without a token cost nothing and leave
    the average.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> probs = np.asarray([[0.75, 0.25], [0.5, 0.5]])
    >>> am.load_balancing_loss(probs, np.asarray([0, 0]), coeff=1.0) + 0.0
    np.float64(1.25)

    References
    ----------
    .. [1] W. Fedus, B. Zoph, N. Shazeer, "Switch transformers: scaling to trillion parameter models
       with simple and efficient sparsity", arXiv:2101.03961, 2021, equations 4 to 6.
    .. [2] D. Lepikhin et al., "GShard: scaling giant models with conditional computation and
       automatic sharding", arXiv:2006.16668, 2020.
    """
    name = "load_balancing_loss"
    k = check_count(name, "k", k)
    p = _Gates.of(name, "probs", probs, where, assignment=assignment, counts=counts)
    xp = p.xp
    if (assignment is None) == (counts is None):
        raise TypeError(f"{name}: assignment or counts is needed, and not both")
    if counts is None:
        hot = _assigned(xp, name, assignment, p.x.shape, k)
        picks = xp.astype(hot if p.where is None else hot & p.where, p.x.dtype)
        share = mean_over(xp, xp.sum(picks, axis=-2), k * p.count)
    else:
        counts = _array.cast(xp, _array.widen(xp, stop_gradient(counts)), p.x.dtype)
        if tuple(counts.shape) != (p.x.shape[-1],):
            raise ValueError(
                f"{name}: counts has shape {_array.shape_text(counts.shape)}; one number per "
                f"expert fits, ({p.x.shape[-1]},)"
            )
        share = mean_over(xp, counts, xp.broadcast_to(xp.sum(counts), counts.shape))
    mass = mean_over(xp, xp.sum(p.x, axis=-2), p.count)
    return p.finish(coeff * p.x.shape[-1] * xp.sum(mass * share, axis=-1))


@form(shapes="gates: ... T E -> ", papers=("1701.06538",), cost="O(T E)")
def importance_cv_loss(gates: Array, /, *, where: Array | None = None, coeff: float = 1.0) -> Array:
    r"""Squared coefficient of variation of the importance of experts.

    .. math:: c\,\frac{\operatorname{Var}_e(I_e)}{\big(\operatorname{mean}_e I_e\big)^2}, \qquad
        I_e = \sum_t g_{te}

    Parameters
    ----------
    gates : array (..., T, E)
        Gates of E experts for T tokens; leading axes are batches, and averaged.
    where : boolean array, broadcastable to `gates`
        True where a gate counts.  Shape (..., T, 1) keeps or drops whole tokens.
    coeff : float
        c multiplies the finished loss.

    Returns
    -------
    array ()
        The loss: 0 when all experts are equally important, at most c (E - 1).

    Raises
    ------
    TypeError
        `gates` is no real array.
    ValueError
        Shapes do not fit.

    Notes
    -----
    The variance is that of all E experts (it divides by E).  The sizes of gates don't matter, as
    the loss is homogeneous of degree 0.  Batches whose gates sum to 0 cost nothing and leave the
    average; the official code adds 1e-10 to the squared mean instead.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.importance_cv_loss(np.asarray([[1.0, 0.0], [0.5, 0.5]])) + 0.0
    np.float64(0.25)

    References
    ----------
    .. [1] N. Shazeer et al., "Outrageously large neural networks: the sparsely-gated
       mixture-of-experts layer", arXiv:1701.06538, 2017, equation 7.
    """
    g = _Gates.of("importance_cv_loss", "gates", gates, where)
    xp, experts = g.xp, max(g.x.shape[-1], 1)
    importance = xp.sum(g.x, axis=-2)
    mean = xp.sum(importance, axis=-1, keepdims=True) / experts
    ratio = mean_over(xp, importance - mean, xp.broadcast_to(mean, importance.shape))
    some = mean[..., 0] != 0
    return g.finish(coeff * xp.sum(ratio * ratio, axis=-1) / experts, some)


class _Gates(NamedTuple):
    """Weights (..., T, E) of experts, 0 where masked, and how many tokens (..., E) count."""

    xp: Any
    dtype: Any
    x: Array
    where: Array | None
    count: Array

    @classmethod
    def of(cls, function: str, name: str, gates: Array, where: Array | None, **more: Any) -> _Gates:
        _array.namespace(function, **{name: gates}, where=where, **more)
        _array.required(function, **{name: gates})
        given = operands(function, **{name: gates})
        xp, (x,) = given.xp, given.arrays
        if x.ndim < 2:
            raise ValueError(
                f"{function}: {name} has shape {_array.shape_text(x.shape)}; (..., T, E) fits"
            )
        _array.check_mask(function, "where", where, x.shape, name)
        if where is None:
            tokens = xp.ones_like(x)
        else:
            where = xp.broadcast_to(where, x.shape)
            x = select(xp, where, x)
            live = xp.any(where, axis=-1, keepdims=True)
            tokens = xp.broadcast_to(xp.astype(live, x.dtype), x.shape)
        return cls(xp, given.dtype, x, where, xp.sum(tokens, axis=-2))

    def finish(self, loss: Array, live: Array | None = None) -> Array:
        """The average of the losses (...) of groups that have a token."""
        some = self.count[..., 0] != 0
        live = some if live is None else some & live
        return _array.cast(self.xp, reduced(self.xp, loss, "mean", live=live), self.dtype)


def _assigned(xp: Any, function: str, assignment: Any, shape: tuple, k: int) -> Array:
    """Which expert (..., T, E) has which token."""
    _array.required(function, assignment=assignment)
    assignment = xp.asarray(assignment)  # of the tape's kind under the tape, for strict arrays
    if _array.is_integer(assignment):
        if assignment.ndim == len(shape) - 1:
            assignment = assignment[..., None]
        if assignment.shape[-1] != k:
            raise ValueError(
                f"{function}: assignment has {assignment.shape[-1]} experts a token; k = {k} fit"
            )
    return multi_hot(xp, function, assignment, shape)
