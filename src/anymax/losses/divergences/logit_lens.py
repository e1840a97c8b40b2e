"""What a layer already knows: the divergence between its read-out and the final one."""

from __future__ import annotations

from anymax._array import Array
from anymax._form import form
from anymax.losses.divergences.divergence import logits_kl


@form(
    shapes="layer_logits: ... C, final_logits: ... C -> ...", papers=("2505.13898",),
    cost="O(n)", primitives=("row_log_softmax",),
)  # fmt: skip
def logit_lens_kl(
    layer_logits: Array,
    final_logits: Array,
    /,
    *,
    direction: str = "reverse",
    axis: int = -1,
    where: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    r"""Kullback-Leibler divergence of a layer's logit lens from the final distribution.

    .. math:: \mathrm{KL}(p_\ell \,\|\, p) = \sum_c p_{\ell c}\,(\log p_{\ell c} - \log p_c)

    Parameters
    ----------
    layer_logits : array (..., C)
        Logits that the head reads off a layer, the C classes on `axis`.
    final_logits : array (..., C)
        Logits of the last layer; broadcasts, so that all layers can be given at once.
    direction : {"reverse", "forward"}
        "reverse" is KL(layer || final), which was measured; "forward" is KL(final || layer).
    axis : int
        The class axis.
    where : boolean array, broadcastable to the logits
        True where a class takes part.  Shape (..., 1) keeps or drops whole rows.
    weight : array, broadcastable to the unreduced loss
        Weights of the rows.
    reduction : {"mean", "sum", "none"}
        The mean divides by the number of rows that count, or by the sum of their weights.

    Returns
    -------
    array () or (...)
        The divergence, or one per row with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.distillation_kl`.

    Notes
    -----
    :func:`anymax.distillation_kl` at temperature 1 with the layer as student.  The head and the
    last normalisation are applied by the caller.  -inf logits, empty rows and infinities are as
    there.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> final = np.log(np.asarray([1.0, 3.0]))
    >>> layers = np.stack([np.zeros(2), final])
    >>> am.logit_lens_kl(layers, final, reduction="none")
    array([0.14384104, 0.        ])

    References
    ----------
    .. [1] R. Csordas, C. D. Manning, C. Potts, "Do language models use their depth efficiently?",
       arXiv:2505.13898, 2025.
    """
    return logits_kl(
        "logit_lens_kl", direction, False, axis=axis, where=where, weight=weight,
        reduction=reduction, layer_logits=layer_logits, final_logits=final_logits,
    )  # fmt: skip
