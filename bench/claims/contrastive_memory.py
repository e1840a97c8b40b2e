"""Claim: contrastive losses of 65,536 vectors run forward and backward in 4 GB.

    python bench/claims/contrastive_memory.py [--quick] [--form info_nce]

Their logits alone, 65,536 x 65,536 in float32, take 17 GB. Vectors have 512 features; `nt_xent`
gets two batches of half as many, so that it has as many views. The peak is that of the whole
process, the interpreter and the arguments included. Gradients of
`info_nce` are checked on a few rows.
"""

from __future__ import annotations

import argparse
import resource
import time
from typing import Any

import numpy as np

import anymax as am

LIMIT = 4.0
FORMS = ("info_nce", "nt_xent")


def vectors(rows: int, features: int) -> tuple[Any, Any]:
    """Two views of the same examples."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((rows, features), dtype=np.float32)
    return a, a + 0.5 * rng.standard_normal((rows, features), dtype=np.float32)


def error_of_rows(a: Any, b: Any, grad: Any, count: int = 3) -> float:
    """Relative error of the first queries' gradients, against float64, one query at a time."""
    worst = 0.0
    keys = b.astype(np.float64)
    for i in range(count):
        query, key, rest = a[i : i + 1].astype(np.float64), keys[i : i + 1], np.delete(keys, i, 0)
        slope = am.value_and_grad(lambda q: am.info_nce(q, key, negatives=rest))  # noqa: B023
        exact = slope(query)[1][0] / a.shape[0]
        worst = max(worst, float(np.linalg.norm(grad[i] - exact) / np.linalg.norm(exact)))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="4,096 vectors of 64 features")
    parser.add_argument("--form", choices=FORMS, help="one of the losses (both by default)")
    options = parser.parse_args()
    rows, features = (4096, 64) if options.quick else (65_536, 512)
    for name in (options.form,) if options.form else FORMS:
        form = getattr(am, name)
        a, b = vectors(rows if name == "info_nce" else rows // 2, features)
        start = time.perf_counter()
        loss, (da, db) = am.value_and_grad(form, argnums=(0, 1))(a, b)
        seconds = time.perf_counter() - start
        assert np.isfinite(da).all()
        assert np.isfinite(db).all()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        verdict = "met" if peak <= LIMIT else "NOT met"
        print(
            f"{name}: {rows} x {features}, loss {float(loss):.6f}, forward and backward "
            f"{seconds:.1f} s, peak {peak:.2f} GiB ({LIMIT:g} GB: {verdict}; "
            f"logits alone {4e-9 * rows * rows:.1f} GB)",
            flush=True,
        )
        if name == "info_nce":
            print(f"  gradients of three queries off by {error_of_rows(a, b, da):.1e}", flush=True)


if __name__ == "__main__":
    main()
