"""Public names and the files they live in; written by ``python -m anymax._stubs``."""

TOP: dict[str, str] = {
    "attention_weights": "anymax.attentions.dense.dot_product",
    "dot_product_attention": "anymax.attentions.dense.dot_product",
    "cross_entropy": "anymax.losses.classification.cross_entropy",
    "log_softmax": "anymax.softmaxes.exponential.softmax",
    "logsumexp": "anymax.softmaxes.exponential.softmax",
    "softmax": "anymax.softmaxes.exponential.softmax",
    "softmin": "anymax.softmaxes.exponential.softmax",
}
MODULES: dict[str, dict[str, str]] = {
    "softmaxes": {
        "log_softmax": "anymax.softmaxes.exponential.softmax",
        "logsumexp": "anymax.softmaxes.exponential.softmax",
        "softmax": "anymax.softmaxes.exponential.softmax",
        "softmin": "anymax.softmaxes.exponential.softmax",
    },
    "losses": {
        "cross_entropy": "anymax.losses.classification.cross_entropy",
    },
    "attentions": {
        "attention_weights": "anymax.attentions.dense.dot_product",
        "dot_product_attention": "anymax.attentions.dense.dot_product",
    },
}
