"""The evaluator's server with a handler that does nothing: the floor of `benchmarks.flags`."""

from __future__ import annotations

import uvloop

from cohort_store.settings import Settings
from evaluator.http.application import empty_handler
from evaluator.wiring import serve

if __name__ == "__main__":
    uvloop.run(serve(empty_handler, Settings()))
