"""The commands of ``python -m anymax``, one file each."""
