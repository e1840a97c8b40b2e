"""One line of results: a case against a rival, with everything a reader needs to judge it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A contest.  `ratio` is their time over ours; `floor` our time over the least possible.

    `reason` says why there is no ratio: a rival is absent, or a side failed.  Peaks are bytes above
    the arguments.  `foreign` is how many cores other processes kept busy meanwhile.
    """

    form: str
    size: str
    rival: str
    device: str
    backend: str = ""
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    rounds: int = 0
    ours_seconds: float | None = None
    theirs_seconds: float | None = None
    floor: float | None = None
    ours_peak: float | None = None
    theirs_peak: float | None = None
    foreign: float = 0.0
    reason: str = ""

    @property
    def spread(self) -> float:
        """Half the distance of the quartiles, relative to the median."""
        if self.ratio is None or self.low is None or self.high is None:
            return 0.0
        return (self.high - self.low) / 2 / self.ratio


FIELDS = tuple(f.name for f in dataclasses.fields(Row))
