"""The demo: half a year of a shop's events through everything, compared with ClickHouse at 24 instants.

`python -m processors.demo` starts an installation of its own on a folder that it removes again, whose clock it
steps. ``log.py`` is the events, ``scenario.py`` what happens in which order, ``reference.py`` the SQL, written by
hand and from no definition, ``stage.py`` what runs, ``play.py`` the performance, ``display.py`` what is seen of it.
"""
