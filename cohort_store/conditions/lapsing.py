"""What stopped and restarted share: a window, and the recent part of it."""

from __future__ import annotations

from pydantic import Field, model_validator

from cohort_store.conditions.condition import EventSelection, window_ms_of


class Lapsing(EventSelection):
    """Shared part: `within`, a rolling window of length W, and `recent`, the last M of it; M < W."""

    within: str = Field(description="The whole rolling window: 90d, 24h, 1w2d; at most 730d.")
    recent: str = Field(description="The recent part of the window, up to now; shorter than `within`.")

    @model_validator(mode="after")
    def _recent_is_a_part(self) -> Lapsing:
        self.spans_ms()
        return self

    def spans_ms(self) -> tuple[int, int]:
        """W and M in milliseconds; ValueError, with the remedy, where they are none or M is not the shorter one."""
        window_ms, recent_ms = window_ms_of(self.within), window_ms_of(self.recent)
        if recent_ms >= window_ms:
            raise ValueError(f"recent {self.recent} is not shorter than within {self.within}; shorten it")
        return window_ms, recent_ms
