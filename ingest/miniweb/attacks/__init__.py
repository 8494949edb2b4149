"""All attacks of the hostile kit: `kit` says what one is, the other files hold them by kind."""

from ingest.miniweb.attacks.addresses import add_addresses
from ingest.miniweb.attacks.answers import add_answers
from ingest.miniweb.attacks.encodings import add_encodings
from ingest.miniweb.attacks.handshakes import add_handshakes
from ingest.miniweb.attacks.hosts import add_hosts
from ingest.miniweb.attacks.kit import Kit
from ingest.miniweb.attacks.names import add_names
from ingest.miniweb.attacks.pictures import add_pictures
from ingest.miniweb.attacks.redirects import add_redirects

DEAD_HOST_URLS = 10_000


def build_kit(dead_host_urls: int = DEAD_HOST_URLS) -> Kit:
    """Every attack; `dead_host_urls`: how many URLs each dead host has."""
    kit = Kit()
    add_answers(kit)
    add_encodings(kit)
    add_redirects(kit)
    add_addresses(kit)
    add_hosts(kit, dead_host_urls)
    add_pictures(kit)
    add_names(kit)
    add_handshakes(kit)
    return kit
