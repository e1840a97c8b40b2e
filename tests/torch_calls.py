"""torch: the calls that its tests share, each a function of one float64 matrix."""

from __future__ import annotations

import pytest

import anymax as am
from anymax import _backends

torch = pytest.importorskip("torch")

KERNELS = ["reference"] + ["numba"] * (_backends.missing("numba") is None)
torch.manual_seed(0)
X = torch.randn(3, 5, dtype=torch.float64)
KEEP = torch.tensor([[1, 1, 0, 1, 1], [1, 0, 1, 1, 1], [0, 0, 0, 0, 0]], dtype=torch.bool)
LABELS = torch.tensor([1, 4, 0])
CAPPED = {"softcap": 2.0, "label_smoothing": 0.1, "lse_square_scale": 0.1}
SINK = torch.tensor([0.3, -0.2], dtype=torch.float64)
QKV = torch.randn(2, 4, 3, dtype=torch.float64)

CALLS = {
    "softmax": lambda x: am.softmax(x, where=KEEP, temperature=0.7),
    "softmin": lambda x: am.softmin(x, axis=0),
    "log_softmax": lambda x: am.log_softmax(x),
    "logsumexp": lambda x: am.logsumexp(x, axis=(0, 1)),
    "logsumexp weight": lambda x: am.logsumexp(x, weight=X.abs() + 1),
    "cross_entropy": lambda x: am.cross_entropy(x, LABELS),
    "cross_entropy capped": lambda x: am.cross_entropy(x, LABELS, reduction="none", **CAPPED),
    "cross_entropy soft": lambda x: am.cross_entropy(x, torch.softmax(X, -1), return_lse=True),
    "attention": lambda x: am.dot_product_attention(x, x, x, causal=True, return_lse=True),
    "attention sink": lambda x: am.dot_product_attention(
        x[None], QKV[:1, :, :1] * x[:1], QKV[:1], sink=SINK[:1], softcap=1.5, window=(2, 0)),
    "attention_weights": lambda x: am.attention_weights(x, x),
}  # fmt: skip


def total(name):
    """One number that depends on every output of a call."""

    def scalar(x):
        y = CALLS[name](x)
        return sum(torch.sin(a).sum() for a in (y if isinstance(y, tuple) else (y,)))

    return scalar
