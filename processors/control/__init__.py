"""Control: the low-rate side. The one writer of the registry, and the keeper of the books.

``compiler.py`` turns definitions into registries; ``registry_log.py`` makes sure that there is one writer;
``life.py`` drives versions, sources and the mirror; ``flow.py`` counts entries and exits; ``status.py`` says how
everything stands; ``app.py`` is the Faust app that holds them together, ``wiring.py`` starts it.

Only ``app.py``, ``flow.py`` and ``wiring.py`` know Faust. Control is not in the path of events: it may be away for
minutes, and membership goes on.
"""
