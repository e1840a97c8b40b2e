"""What is checked of a form: one small module an aspect, with `applies(cell)` and `check(cell)`.

`check` raises AssertionError, or Skip with a reason, and may give the worst error it saw.
"""
