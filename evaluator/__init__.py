"""The read path: feature flags, memberships and explanations over HTTP.

Depends on ``cohort_store`` and on nothing of ``processors``: the only arrows between packages are
``processors -> cohort_store <- evaluator``. It never writes membership. The HTTP server's library appears
in ``http/`` and ``wiring.py`` only; deciding a flag is plain arithmetic over values that were read before.

Where to start: ``http/routes.py`` (everything that is served), ``deciding/flags.py`` (the rule of a flag),
``reading/steady_reading.py`` (what a request waits for), ``definitions/registry.py`` (what is in force),
``push/hub.py`` (who is told of changes), ``muster_openfeature/`` (the same decisions in another's process).
"""
