"""Soft decision trees: every leaf has the probability of the turns that lead to it."""

from __future__ import annotations

from typing import Any

from anymax import _array, _shapes
from anymax._array import Array
from anymax._form import form
from anymax.primitives.row_softmax import row_softmax
from anymax.softmaxes.structured._log_sigmoid import log_sigmoid, sigmoid


@form(shapes="node_logits: ... M -> ... K", papers=("2310.11401",), cost="O(n)")
def soft_tree_leaf_probs(
    node_logits: Array, /, *, activation: str = "sigmoid", log: bool = False
) -> Array:
    r"""Probability of each leaf of a full binary tree: the product of the turns on its path.

    .. math:: p_\ell = \prod_{m \in \mathrm{path}(\ell)} n_m^{[\ell \text{ left of } m]}\,
        (1 - n_m)^{[\ell \text{ right of } m]}, \qquad n_m = \sigma(z_m)

    Parameters
    ----------
    node_logits : array (..., 2**h - 1)
        z, inner nodes in heap order (root, its children from left to right, and so on).  A node's
        value is the probability of going left.
    activation : {"sigmoid", "smootherstep"}
        What makes a probability of a logit.  "smootherstep" is :math:`6u^5 - 15u^4 + 10u^3` of the
        logit clamped to [0, 1].
    log : bool
        Give log-probabilities, which do not underflow in deep trees.

    Returns
    -------
    array (..., 2**h)
        Leaves from left to right; probabilities sum to one.

    Raises
    ------
    TypeError
        `node_logits` is no real array.
    ValueError
        The number of nodes is not one less than a power of two, or `activation` is unknown.

    Notes
    -----
    Level by level, each probability is split in two: O(2**h) a row where the official code's mask
    multiplies all nodes for all leaves, O(4**h).  The products are exact; the 1e-8 that that code
    adds to every factor is left out.  Below a turn of probability exactly 0 nothing counts, not
    even NaN.  The derivative by a node is ``(1 - n) * left - n * right`` with the sums of
    ``p * dp`` over its two subtrees.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> z = np.log(np.asarray([3.0, 1.0, 4.0]))  # left with 3/4, 1/2, 4/5
    >>> am.soft_tree_leaf_probs(z)
    array([0.375, 0.375, 0.2  , 0.05 ])

    References
    ----------
    .. [1] S. Basu Roy Chowdhury et al., "Enhancing group fairness in online settings using oblique
       decision forests", ICLR 2024, arXiv:2310.11401, section 3.
    """
    name = "soft_tree_leaf_probs"
    _array.required(name, node_logits=node_logits)
    xp = _array.namespace(name, node_logits=node_logits)
    (z,) = _array.promote(xp, name, node_logits=node_logits)
    _shapes.check(name, "node_logits: ... M -> ... K", {"node_logits": z})
    p = _leaves(xp, name, _array.widen(xp, z), activation, log)
    return _array.cast(xp, p, z.dtype)


@form(
    shapes="x: ... D, w: D M, b: M, leaf_logits: K C -> ... C",
    papers=("2310.11401",),
    cost="O(D M + M C)",
    primitives=("row_softmax",),
)
def soft_tree_predict(
    x: Array, w: Array, b: Array, leaf_logits: Array, /, *, kind: str = "probs"
) -> Array:
    r"""Prediction of an oblique soft tree: its leaves' distributions, averaged.

    .. math:: y = \sum_\ell p_\ell(x)\,\mathrm{softmax}(\theta_\ell), \qquad z = x W + b

    Parameters
    ----------
    x : array (..., D)
        Examples.
    w : array (D, 2**h - 1)
        W, a direction per inner node, in heap order.
    b : array (2**h - 1,)
        Offsets of the nodes.
    leaf_logits : array (2**h, C)
        :math:`\theta`, logits of the classes in each leaf.
    kind : {"probs", "log"}
        "log" gives :math:`\sum_\ell p_\ell\,e^{\theta_\ell}`, the official code's unnormalised
        variant.

    Returns
    -------
    array (..., C)
        Class probabilities, or unnormalised masses.  A forest is the mean over its trees.

    Raises
    ------
    TypeError, ValueError
        As :func:`anymax.soft_tree_leaf_probs`, or sizes that do not match, or an unknown `kind`.

    Notes
    -----
    A leaf logit of -inf has no mass; NaN in a leaf gives NaN everywhere, as every leaf takes part
    in every example.  At inference the official code puts one more softmax over these
    probabilities; that is not reproduced.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> x, w, b = np.asarray([[0.0], [1.0]]), np.asarray([[np.log(3.0)]]), np.zeros(1)
    >>> leaves = np.asarray([[0.0, -np.inf], [-np.inf, 0.0]])
    >>> am.soft_tree_predict(x, w, b, leaves)
    array([[0.5 , 0.5 ],
           [0.75, 0.25]])

    References
    ----------
    .. [1] S. Basu Roy Chowdhury et al., "Enhancing group fairness in online settings using oblique
       decision forests", ICLR 2024, arXiv:2310.11401, section 3.
    """
    name = "soft_tree_predict"
    if kind not in ("probs", "log"):
        raise ValueError(f"{name}: kind is {kind!r}; 'probs' or 'log' fits")
    arrays = {"x": x, "w": w, "b": b, "leaf_logits": leaf_logits}
    _array.required(name, **arrays)
    xp = _array.namespace(name, **arrays)
    x, w, b, theta = _array.promote(xp, name, **arrays)
    shapes = "x: ... D, w: D M, b: M, leaf_logits: K C -> ... C"
    sizes = _shapes.check(name, shapes, {"x": x, "w": w, "b": b, "leaf_logits": theta})
    if sizes["K"] != sizes["M"] + 1:
        raise ValueError(
            f"{name}: leaf_logits has {sizes['K']} leaves but w has {sizes['M']} nodes; "
            f"{sizes['M'] + 1} leaves fit"
        )
    dtype = x.dtype
    x, w, b, theta = (_array.widen(xp, a) for a in (x, w, b, theta))
    p = _leaves(xp, name, _product(xp, x, w) + b, "sigmoid", False)
    if kind == "probs":
        y = _product(xp, p, row_softmax(theta, None, axis=(1,), scale=1.0))
    else:
        y = _masses(xp, p, theta)
    return _array.cast(xp, y, dtype)


def _product(xp: Any, x: Array, w: Array) -> Array:
    """``x @ w`` for a single example (D,) as well."""
    return xp.matmul(x[None, :], w)[0, ...] if x.ndim == 1 else xp.matmul(x, w)


def _masses(xp: Any, p: Array, theta: Array) -> Array:
    """``p @ exp(theta)``, each class shifted by its largest leaf so that exp stays in range."""
    top = xp.max(_array.stop_gradient(theta), axis=0)
    top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    return _product(xp, p, xp.exp(theta - top)) * xp.exp(top)


def _leaves(xp: Any, function: str, z: Array, activation: str, log: bool) -> Array:
    """Leaf probabilities by splitting each level's probabilities in two."""
    if activation not in ("sigmoid", "smootherstep"):
        raise ValueError(
            f"{function}: activation is {activation!r}; 'sigmoid' or 'smootherstep' fits"
        )
    height = _height(function, z.shape[-1])
    dead = -xp.inf if log else 0.0
    p = xp.full((*z.shape[:-1], 1), 0.0 if log else 1.0, dtype=z.dtype, device=_array.device(z))
    for level in range(height):
        live = p != dead
        node = z[..., 2**level - 1 : 2 ** (level + 1) - 1]
        node = xp.where(live, node, xp.zeros_like(node))  # NaN below a dead end stays there
        left, right = _turns(xp, node, activation, log)
        none = xp.full_like(p, dead)
        pair = [xp.where(live, p + q if log else p * q, none) for q in (left, right)]
        p = xp.reshape(xp.stack(pair, axis=-1), (*z.shape[:-1], 2 ** (level + 1)))
    return p


def _turns(xp: Any, z: Array, activation: str, log: bool) -> tuple[Array, Array]:
    """Probabilities of going left and right, or their logarithms."""
    if activation == "sigmoid":
        f = log_sigmoid if log else sigmoid
        return f(xp, z), f(xp, -z)
    u = xp.where(z < 0, xp.zeros_like(z), xp.where(z > 1, xp.ones_like(z), z))
    both = _smootherstep(u), _smootherstep(1.0 - u)
    if not log:
        return both
    return _safe_log(xp, both[0]), _safe_log(xp, both[1])


def _smootherstep(u: Array) -> Array:
    return u * u * u * (10.0 + u * (6.0 * u - 15.0))


def _safe_log(xp: Any, p: Array) -> Array:
    some = p != 0
    return xp.where(some, xp.log(xp.where(some, p, xp.ones_like(p))), xp.full_like(p, -xp.inf))


def _height(function: str, nodes: int) -> int:
    height = (nodes + 1).bit_length() - 1
    if nodes + 1 != 2**height:
        raise ValueError(
            f"{function}: {nodes} nodes make no full binary tree; 0, 1, 3, 7, 15, ... do"
        )
    return height
