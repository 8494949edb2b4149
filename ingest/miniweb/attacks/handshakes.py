"""Certificates that deserve no trust, and handshakes that are none."""

from ingest.miniweb.attacks.kit import DOMAIN, Attack, Kit, good_page
from ingest.miniweb.site import Flaw
from schemas.outcome import Outcome

_TLS = "the check of certificates"


def add_handshakes(kit: Kit) -> None:
    """All that can be wrong before the first byte of HTTP over TLS."""
    for flaw in Flaw:
        name = f"certificate-{flaw.name.lower().replace('_', '-')}"
        host = f"{name}.{DOMAIN}"
        kit.flaws[host] = flaw
        kit.site.add(host, "/x.jpg", good_page())
        outcomes = {Flaw.NONE: (Outcome.KEPT,), Flaw.NO_NAME: (Outcome.TLS, Outcome.KEPT)}
        what = f"a certificate that {flaw.value}"
        if flaw is Flaw.NONE:
            name, what = "certificate-good", "a good certificate, of the kit's own authority"
        _add(kit, name, host, "{tls_port}", what, *outcomes.get(flaw, (Outcome.TLS,)))
    host = f"tls-garbage.{DOMAIN}"
    _add(kit, "tls-garbage", host, "{port}", "noise for a handshake", Outcome.TLS)
    host = f"tls-silent.{DOMAIN}"
    words = (Outcome.ROBOTS_UNAVAILABLE, Outcome.TIMEOUT, Outcome.TLS)
    _add(kit, "tls-silent", host, "{deaf_port}", "a handshake without an answer", *words)
    host = f"tls-refused.{DOMAIN}"
    _add(kit, "tls-refused", host, "{closed_port}", "a closed port", Outcome.CONNECT)


def _add(kit: Kit, name: str, host: str, port: str, what: str, *outcomes: Outcome) -> None:
    limit = "`--connect-timeout-s`" if Outcome.TIMEOUT in outcomes else _TLS
    kit.attacks.append(Attack(name, what, f"https://{host}:{port}/x.jpg", outcomes, limit))
