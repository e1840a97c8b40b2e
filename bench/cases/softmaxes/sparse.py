"""Sparse softmaxes, soft top-k and truncations: rows of a vocabulary, one huge row, many short."""

import math

import anymax as am
from anymax._bench.case import Case, normal

SHAPES = ((256, 32000), (4096, 1024), (16384, 64))
LABELS = (1, 1_000_000)
SAMPLING = (64, 151_936)  # a batch of sequences over a vocabulary


def by_entmax(name, **options):
    def load():
        import entmax

        function = getattr(entmax, name)
        return lambda x: function(x, dim=-1, **options)

    return load


def top_k_by_torch():
    import torch

    def softmax(x):
        last = torch.topk(x, 50)[0][..., -1:]
        return torch.softmax(x.masked_fill(x < last, -math.inf), -1)

    return softmax


def top_p_by_torch():
    """As Hugging Face's warper does it."""
    import torch

    def softmax(x):
        values, order = torch.sort(x, descending=False)
        dropped = values.softmax(-1).cumsum(-1) <= 1 - 0.9
        dropped[..., -1:] = False
        dropped = dropped.scatter(1, order, dropped)
        return torch.softmax(x.masked_fill(dropped, -math.inf), -1)

    return softmax


def min_p_by_torch():
    import torch

    def softmax(x):
        p = torch.softmax(x, -1)
        low = p < 0.05 * p.max(-1, keepdim=True)[0]
        return torch.softmax(x.masked_fill(low, -math.inf), -1)

    return softmax


def gumbel_top_k_by_torch():
    import torch

    return lambda x, g: torch.topk(x + g, 8)[1]


def soft_top_k_by_torch():
    """Bisection as in the official code, from a bracket that is wide enough."""
    import torch

    def soft_top_k(x):
        k, n = 5, x.shape[-1]
        shift = math.log(k / (n - k))
        lo = shift - x.max(-1, keepdim=True)[0]
        hi = shift - x.min(-1, keepdim=True)[0]
        for _ in range(32):
            middle = (lo + hi) / 2
            low = torch.sigmoid(x + middle).sum(-1, keepdim=True) < k
            lo, hi = torch.where(low, middle, lo), torch.where(low, hi, middle)
        return torch.sigmoid(x + (lo + hi) / 2)

    return soft_top_k


def case(form, shape, ours, theirs, gradients=0):
    return Case(
        form + (" gradient" if gradients else ""),
        "x".join(map(str, shape)),
        ours,
        theirs,
        lambda: (normal(*shape),),
        gradients=gradients,
        bytes=0.0 if gradients else 8.0 * math.prod(shape),
        memory=shape == SHAPES[0] and form == "sparsemax" and not gradients,
    )


def maps(shape):
    yield "sparsemax", am.sparsemax, by_entmax("sparsemax")
    yield "entmax15", am.entmax15, by_entmax("entmax15")
    if shape != LABELS:
        yield (
            "entmax 1.25",
            lambda x: am.entmax(x, alpha=1.25),
            by_entmax("entmax_bisect", alpha=1.25),
        )
        yield "normmax", am.normmax, by_entmax("normmax_bisect", alpha=2)
        yield (
            "budget_sparsemax 4",
            lambda x: am.budget_sparsemax(x, budget=4.0),
            by_entmax("budget_bisect", budget=4.0),
        )


CASES = [
    *(
        case(name, shape, ours, {"entmax": theirs})
        for shape in (*SHAPES, LABELS)
        for name, ours, theirs in maps(shape)
    ),
    case("sparsemax", SHAPES[0], am.sparsemax, {"entmax": by_entmax("sparsemax")}, 1),
    case("entmax15", SHAPES[0], am.entmax15, {"entmax": by_entmax("entmax15")}, 1),
    *(
        case("soft_top_k 5", shape, lambda x: am.soft_top_k(x, k=5), {"torch": soft_top_k_by_torch})
        for shape in (LABELS, SHAPES[0])
    ),
    case(
        "top_k_softmax 50", SAMPLING, lambda x: am.top_k_softmax(x, k=50), {"torch": top_k_by_torch}
    ),
    case(
        "top_p_softmax 0.9", SAMPLING, lambda x: am.top_p_softmax(x, p=0.9),
        {"torch": top_p_by_torch},
    ),
    case(
        "min_p_softmax 0.05", SAMPLING, lambda x: am.min_p_softmax(x, min_p=0.05),
        {"torch": min_p_by_torch},
    ),
    Case(
        "gumbel_top_k 8", "x".join(map(str, SAMPLING)), lambda x, g: am.gumbel_top_k(x, g, k=8),
        {"torch": gumbel_top_k_by_torch}, lambda: (normal(*SAMPLING), normal(*SAMPLING, seed=1)),
        bytes=8.0 * math.prod(SAMPLING),
    ),
]  # fmt: skip
