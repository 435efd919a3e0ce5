"""An OpenFeature provider that decides flags in the caller's own process, memberships included.

Depends on `cohort_store` and on the evaluator's rule for flags, and on nothing that serves. It needs the extra
`openfeature` (openfeature-sdk, httpx); what speaks HTTP stands in ``http/``. Where to start: ``provider.py``.
"""

from evaluator.muster_openfeature.provider import MusterProvider

__all__ = ["MusterProvider"]
