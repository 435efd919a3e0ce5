"""The demo: half a year of a shop's events, five months of it as history, compared with ClickHouse all the way.

`python -m processors.demo` starts an installation of its own on a folder that it removes again, whose clock it
steps. ``log.py`` is the events, ``scenario.py`` what happens in which order, ``reference.py`` the SQL, written by
hand and from no definition, ``stage.py`` what runs, ``play.py`` what all chapters share, ``chapters.py`` and
``live.py`` the chapters, ``asking.py`` a flag that is asked all the time, ``display.py`` what is seen of it.
"""
