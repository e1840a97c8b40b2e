"""The distribution that classes are often sampled from."""

from __future__ import annotations

import math

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.softmaxes._operands import check_count
from anymax.softmaxes.structured._gather import check_index


@form(shapes="index: ... -> ...", level="module", cost="O(1)")
def log_uniform_probs(index: Array, /, *, num_classes: int) -> Array:
    r"""Probabilities of classes, sorted by falling frequency, under the log-uniform sampler.

    .. math:: q_k = \frac{\log(k + 2) - \log(k + 1)}{\log(V + 1)}

    Parameters
    ----------
    index : integer array (...)
        Classes k from 0.
    num_classes : int
        V, the number of classes.

    Returns
    -------
    array (...)
        Probabilities, of the library's default floating dtype; over all classes they sum to one.

    Raises
    ------
    TypeError, ValueError
        `index` is not integer; `num_classes` is no positive int.
    IndexError
        A class outside [0, V) (on arrays whose values are at hand).

    Notes
    -----
    Close to Zipf's law.  The expected count is S q for S draws with replacement, and
    ``-expm1(n * log1p(-q))`` for n draws of which the distinct ones are kept, as TensorFlow's
    sampler does; their logarithms are what :func:`anymax.sampled_softmax_loss` takes.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> am.losses.log_uniform_probs(np.arange(3), num_classes=3)
    array([0.5       , 0.29248125, 0.20751875])

    References
    ----------
    .. [1] TensorFlow, `tf.random.log_uniform_candidate_sampler`.
    """
    name = "log_uniform_probs"
    _array.required(name, index=index)
    v = check_count(name, "num_classes", num_classes)
    xp = _array.namespace(name, index=index)
    check_index(xp, name, "index", index, v, "classes")
    rank = xp.astype(_array.as_index(xp, index), _array.default_float(xp)) + 1.0
    return xp.log1p(1.0 / rank) / math.log1p(v)
