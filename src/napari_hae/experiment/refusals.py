"""Reasons why a proposal is not measured, and why an exposure gave no spectrum."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RefusalReason(StrEnum):
    """Code of the reason why a proposal was not measured."""

    VETOED = "vetoed"
    SUPERSEDED = "superseded"
    """A person asked for another place while it waited for approval."""
    CHANGED = "changed"
    """Something else was ordered while it waited for approval."""
    TIME_OVER = "time_over"
    SAMPLE_LOST = "sample_lost"
    FORBIDDEN = "forbidden"
    """The gate keeps the beam away, though the agent took the place for open."""
    LOCAL_DOSE = "local_dose"
    """The place has taken its dose."""
    SETTINGS = "settings"
    EARLIER_REFUSED = "earlier_refused"
    """It counted on a proposal that was refused."""
    PLACE_ASKED_FOR = "place_asked_for"
    PLAN = "plan"
    SOFT_REGIONS = "soft_regions"
    DISCARDED = "discarded"
    """A measurement was discarded or taken in again."""
    KEPT_OUT = "kept_out"
    """A person kept some place out."""

    @property
    def is_ahead(self) -> bool:
        """Whether it was computed ahead and never begun, so that it was no attempt."""
        return self in _AHEAD

    @property
    def keeps_out(self) -> bool:
        """Whether its place is never proposed again."""
        return self in (RefusalReason.VETOED, RefusalReason.LOCAL_DOSE)

    @property
    def is_wanted(self) -> bool:
        """Whether a person brought it about, so that nothing failed."""
        return self in _WANTED


_AHEAD = frozenset(
    {
        RefusalReason.SETTINGS,
        RefusalReason.EARLIER_REFUSED,
        RefusalReason.PLACE_ASKED_FOR,
        RefusalReason.PLAN,
        RefusalReason.SOFT_REGIONS,
        RefusalReason.DISCARDED,
        RefusalReason.KEPT_OUT,
    }
)
_WANTED = frozenset(
    {RefusalReason.VETOED, RefusalReason.SUPERSEDED, RefusalReason.CHANGED}
)


class LostExposure(StrEnum):
    """Code of the reason why an exposure gave no spectrum or image."""

    RUN_ENDED = "run_ended"
    OTHER_AXIS = "other_axis"
    """Its energy axis is not that of the exposures it was to be added to."""
    FAILED = "failed"
    """The instrument or the gate ended it; the detail says how."""


@dataclass(frozen=True)
class Refusal:
    """A proposal is not measured.

    Attributes
    ----------
    detail
        More about it: the words of the gate.
    why
        The reason that a person gave.
    """

    reason: RefusalReason
    detail: str = ""
    why: str = ""
