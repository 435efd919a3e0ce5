"""The HTTP shell: decodes requests, asks, encodes answers. The one place that knows the server's interface.

``application.py`` speaks RSGI; the handlers beside it take a `Request` and return a `Response`, and know no
server. ``routes.py`` is the list of everything that is served, from which ``openapi.py`` describes it.
"""
