"""Reasons why a proposal is not measured, or an exposure gave no spectrum."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RefusalReason(StrEnum):
    """Code of the reason why a proposal was not measured."""

    VETOED = "vetoed"
    SUPERSEDED = "superseded"
    """The user asked for another place while it waited for approval."""
    CHANGED = "changed"
    """Another order came while it waited for approval."""
    TIME_OVER = "time_over"
    SAMPLE_LOST = "sample_lost"
    FORBIDDEN = "forbidden"
    """The gate refused the place, although the agent considered it allowed."""
    LOCAL_DOSE = "local_dose"
    """The place has reached its dose limit."""
    SETTINGS = "settings"
    EARLIER_REFUSED = "earlier_refused"
    """It depended on a proposal that was refused."""
    PLACE_ASKED_FOR = "place_asked_for"
    PLAN = "plan"
    SOFT_REGIONS = "soft_regions"
    DISCARDED = "discarded"
    """A measurement was discarded or restored."""
    KEPT_OUT = "kept_out"
    """The user excluded a place."""

    @property
    def is_ahead(self) -> bool:
        """Return whether it was computed ahead and never begun: it was no attempt."""
        return self in _AHEAD

    @property
    def keeps_out(self) -> bool:
        """Return whether its place is never proposed again."""
        return self in (RefusalReason.VETOED, RefusalReason.LOCAL_DOSE)

    @property
    def is_wanted(self) -> bool:
        """Return whether the user caused it, so that it is not a failure."""
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
    """Its energy axis differs from that of the exposures it was to be summed with."""
    FAILED = "failed"
    """The instrument or the gate ended it; the detail gives the cause."""


@dataclass(frozen=True)
class Refusal:
    """Refusal of a proposal, which is not measured.

    Attributes
    ----------
    detail
        Details: the message of the gate.
    why
        Reason given by the user.
    """

    reason: RefusalReason
    detail: str = ""
    why: str = ""
