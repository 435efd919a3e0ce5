"""The view in Redis or Valkey: the adapters of the store's ports.

``commit.lua`` is the commit rule, as one script; ``keys.py`` the layout, frozen by golden tests;
``link.py`` how requests reach one server or a Cluster; ``store.py``, ``reader.py`` and ``mirror.py``
the three ports; ``wiring.py`` makes them from settings.

May depend on: the domain of ``cohort_store``, and redis-py. Foreign exceptions end here: transport becomes
Retry, anything that cannot be right becomes Crash.
"""
