"""Forms s(x) / sum s(x) against our softmax, and against plain torch code for the same formula."""

import math

import anymax as am
from anymax._bench.case import Case, normal

SHAPES = ((256, 32000), (16384, 64))


def by_torch(formula):
    """A function of a tensor, made once torch is imported."""

    def load():
        import torch

        return lambda x: formula(torch, x)

    return load


def _ratio(torch, s):
    return s / s.sum(-1, keepdim=True)


def sigsoftmax(torch, x):
    return torch.softmax(x + torch.nn.functional.logsigmoid(x), -1)


def stablemax(torch, x):
    return _ratio(torch, torch.where(x >= 0, x + 1, 1 / (1 - x)))


def taylor_softmax(torch, x):
    return _ratio(torch, 1 + x + 0.5 * x * x)


def spherical_softmax(torch, x):
    return _ratio(torch, x * x)


def power_softmax(torch, x):
    return _ratio(torch, torch.abs(x) ** 2)


def softmax1(torch, x):
    sink = torch.zeros_like(x[..., :1])
    return torch.softmax(torch.cat([x, sink], -1), -1)[..., :-1]


def scalable_softmax(torch, x):
    return torch.softmax(math.log(x.shape[-1]) * x, -1)


FORMS = {
    "sigsoftmax": (am.sigsoftmax, sigsoftmax),
    "stablemax": (am.stablemax, stablemax),
    "taylor_softmax": (am.taylor_softmax, taylor_softmax),
    "spherical_softmax": (am.spherical_softmax, spherical_softmax),
    "power_softmax": (lambda x: am.power_softmax(abs(x), temperature=0.5), power_softmax),
    "softmax1": (am.softmax1, softmax1),
    "scalable_softmax": (am.scalable_softmax, scalable_softmax),
}


def case(name, shape):
    ours, formula = FORMS[name]
    return Case(
        form=name,
        size="x".join(map(str, shape)),
        ours=ours,
        theirs={"torch": by_torch(formula), "torch.compile": by_torch(formula)},
        arguments=lambda: (normal(*shape),),
        bytes=8.0 * math.prod(shape),
    )


CASES = [case(name, shape) for name in FORMS for shape in SHAPES]
