"""How an evaluator of one's own is asked on this machine when it speaks TLS."""

from __future__ import annotations

import ssl


def context_trusting(certificate: str) -> ssl.SSLContext:
    """Trusts the certificates in that file and no others, whatever name they bear: who is asked is known by her port.

    Why not the system's: a certificate that is made by hand is in none of its lists, and one that is not bears the
    name of the public host, not of this machine. Raises OSError, or ssl.SSLError, where the file is none.
    """
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
