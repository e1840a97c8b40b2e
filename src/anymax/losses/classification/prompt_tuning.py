"""Next-token loss behind soft prompts."""

from __future__ import annotations

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._classes import classes
from anymax.losses.classification._costs import cross_entropies
from anymax.softmaxes._operands import beside_tape, check_count


@form(
    shapes="logits: B S C, target: B T -> ",
    papers=("2305.11186",),
    cost="O(n)",
    level="module",
    primitives=("row_cross_entropy",),
)
def prompt_tuning_nll(
    logits: Array,
    target: Array,
    /,
    *,
    num_prompt: int,
    where: Array | None = None,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Array:
    r"""Surprise of tokens behind a soft prompt, each under the logits one position earlier.

    .. math:: \ell_{bt} = -\log\operatorname{softmax}(x_{b,\,P+t-1})_{y_{bt}}

    Parameters
    ----------
    logits : array (B, S, C)
        Logits over C tokens at S = P + T positions, the prompt's first; batch axes may be more or
        none.
    target : integer array (B, T)
        The tokens behind the prompt.
    num_prompt : int
        P, the number of prompt positions, which carry no loss.
    where : boolean array, broadcastable to `logits`
        True where a token of the vocabulary takes part.
    weight : array (C,)
        Weights of the tokens of the vocabulary.
    ignore_index : int
        Targets with this value are left out.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the targets' weights.

    Returns
    -------
    array () or (B, T)
        A scalar, or per-token losses with ``reduction="none"``.

    Raises
    ------
    TypeError, ValueError, IndexError
        As :func:`anymax.cross_entropy`; S must be P + T.

    Notes
    -----
    The last prompt position predicts the first token; without a prompt nothing does, and it costs 0
    and is left out of the mean.  Whether the paper scores the first token is from memory: put
    `ignore_index` there if it should not count.  It is :func:`anymax.cross_entropy` of shifted
    rows, and shares its edges.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> logits = np.log(np.asarray([[[0.5, 0.5], [0.25, 0.75], [0.125, 0.875]]]))
    >>> target = np.asarray([[0, 1]])
    >>> am.losses.prompt_tuning_nll(logits, target, num_prompt=1, reduction="none")
    array([[0.69314718, 0.28768207]])

    References
    ----------
    .. [1] Z. Xu et al., "Compress, Then Prompt: Improving Accuracy-Efficiency Trade-off of LLM
       Inference with Transferable Prompt", 2023. arXiv:2305.11186.
    """
    name = "prompt_tuning_nll"
    _array.required(name, logits=logits, target=target)
    xp = _array.namespace(name, logits=logits, target=target, where=where, weight=weight)
    num_prompt = check_count(name, "num_prompt", num_prompt, 0)
    _check_positions(name, logits, target, num_prompt)
    _array.check_mask(name, "where", where, logits.shape, "logits")
    length = target.shape[-1]
    first = 0 if num_prompt else min(1, length)  # the first token that something predicts
    begin, end = num_prompt + first - 1, num_prompt + length - 1
    if not length:
        begin = end = 0
    if where is not None and where.ndim > 1 and where.shape[-2] != 1:
        where = where[..., begin:end, :]
    c = classes(
        name, logits[..., begin:end, :], target[..., first:], where=where, weight=weight,
        ignore_index=ignore_index, reduction=reduction, soft=False,
    )  # fmt: skip
    y = c.finish(cross_entropies(c), reduction, infinite=False)
    if reduction != "none" or not first:
        return y
    unscored = beside_tape(xp, xp.zeros_like(_array.cast(xp, target[..., :1], y.dtype)))
    return xp.concat([unscored, y], axis=-1)


def _check_positions(function: str, logits: Array, target: Array, num_prompt: int) -> None:
    fits = logits.ndim >= 2 and target.ndim == logits.ndim - 1
    if not fits or logits.shape[-2] != num_prompt + target.shape[-1]:
        raise ValueError(
            f"{function}: logits have shape {_array.shape_text(logits.shape)}, target "
            f"{_array.shape_text(target.shape)} and num_prompt is {num_prompt}; logits "
            "(..., P + T, C) and target (..., T) fit"
        )
