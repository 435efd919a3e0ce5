"""Whether a message may say anything of its person: a look at its bytes, for messages that no selector wants.

Where definitions name properties of persons, any event may carry them, whatever its name. Decoding all of them costs
several times what dropping them by name costs; so one is decoded only if its bytes hold one of the words that an
update is written with, or an escape in which a word could hide. It errs on one side alone: no update is missed.
"""

from __future__ import annotations

_ESCAPE = b"\\u00"
"""Every ASCII character may be written so; what is escaped twice holds it too."""


def may_tell_of_person(raw: bytes) -> bool:
    """False only where the message holds no `$set`, `$set_once`, `$unset` and no `person_properties`."""
    return b"$set" in raw or b"$unset" in raw or b"person_properties" in raw or _ESCAPE in raw


def text_may_tell_of_person(properties_json: str) -> bool:
    """The same of an event's properties, as text, which hold no snapshot."""
    return "$set" in properties_json or "$unset" in properties_json or "\\u00" in properties_json
