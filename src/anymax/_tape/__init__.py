"""Reverse mode over the array API standard, for libraries that don't differentiate by themselves.

`tree` walks nested arguments, `var` holds the values that record, `namespace` wraps a library so
that its functions record, `rules` and the files that register into it say how each function is
differentiated, `engine` runs a recording backwards, and `native` hands torch and JAX arrays to
their own autodiff.
"""
