"""Codecs: from the bytes of a source topic to an `Event` that has been proven sound.

Pure: no I/O, no clock, no logging. A codec is chosen for each topic in the settings (``sources``). Where to start:
``codec.py`` (what a codec is, and which there are), ``event.py`` (what is proven), ``peeking.py`` (the cheap look).
"""
