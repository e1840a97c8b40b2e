"""What a call costs beyond its arithmetic: dispatch on a few numbers, and the import."""

import os
import pathlib
import subprocess
import sys

import numpy as np

import anymax as am
from anymax._bench.case import Case, normal

SOURCE = str(pathlib.Path(am.__file__).parents[1])


def scipy_softmax():
    from scipy import special

    return lambda x: special.softmax(x, axis=0)


def torch_softmax():
    import torch

    return lambda x: torch.softmax(x, 0)


def torch_attention():
    import torch

    return torch.nn.functional.scaled_dot_product_attention


def masked_torch():
    import torch

    low = float("-inf")
    return lambda x, keep: torch.softmax(torch.where(keep, x, low), -1)


def masked_scipy():
    from scipy import special

    return lambda x, keep: special.softmax(np.where(keep, x, -np.inf), axis=-1)


def importing(library):
    command = [sys.executable, "-c", f"import {library}"]
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    return lambda: subprocess.run(command, env=environment, check=True)


CASES = [
    Case(
        "dispatch softmax axis 0", "4x8", lambda x: am.softmax(x, axis=0),
        {"SciPy": scipy_softmax, "torch": torch_softmax}, lambda: (normal(4, 8),),
    ),
    Case(
        "dispatch softmax masked", "4x8", lambda x, keep: am.softmax(x, where=keep),
        {"SciPy": masked_scipy, "torch": masked_torch},
        lambda: (normal(4, 8), np.arange(32).reshape(4, 8) % 3 != 0),
    ),
    Case(
        "dispatch softmax gradient", "4x8", am.softmax,
        {"torch": lambda: lambda x: __import__("torch").softmax(x, -1)}, lambda: (normal(4, 8),),
        gradients=1,
    ),
    Case(
        "dispatch attention", "1x1x4x8", am.dot_product_attention, {"torch": torch_attention},
        lambda: tuple(normal(1, 1, 4, 8, seed=i) for i in range(3)),
    ),
    Case(
        "import anymax", "process", importing("anymax"), {"numpy": lambda: importing("numpy")},
        tuple,
    ),
]  # fmt: skip
