"""The evaluator's server with a handler that does nothing: the floor of `benchmarks.flags`."""

from __future__ import annotations

import uvloop

from cohort_store.settings import Settings
from evaluator.http.application import empty_handler
from evaluator.wiring import let_threads_finish, serve

if __name__ == "__main__":
    let_threads_finish()
    uvloop.run(serve(empty_handler, Settings()))
