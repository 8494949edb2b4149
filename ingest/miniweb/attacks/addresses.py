"""URLs and redirects that lead inwards, or to another scheme than http and https."""

from ingest.miniweb.attacks.kit import Attack, Kit, raw_redirect
from schemas.outcome import Outcome

_GUARD, _SCHEME = "the address guard", "http and https only"
# 10.0.0.1, 169.254.169.254 and others that no outsider may reach, in all the ways to write them.
# 127.0.0.1 itself is not among them: whoever crawls this web has to allow it.
_INWARDS = {
    "private": "10.0.0.1",
    "private-172": "172.16.0.1",
    "private-192": "192.168.0.1",
    "carrier": "100.64.0.1",
    "metadata": "169.254.169.254/latest/meta-data",
    "this-network": "0.0.0.0",
    "broadcast": "255.255.255.255",
    "multicast": "224.0.0.1",
    "decimal": "167772161",
    "octal": "012.0.0.01",
    "hexadecimal": "0x0a000001",
    "hexadecimal-parts": "0xa.0x0.0x0.0x1",
    "short": "10.1",
    "dot": "10.0.0.1.",
    "loopback-two": "127.0.0.2",
    "loopback-decimal": "2130706434",
    "loopback-hexadecimal": "0x7f000002",
    "loopback-octal": "0177.0.0.2",
    "loopback-short": "127.2",
    "loopback-six": "[::1]",
    "loopback-mapped": "[::ffff:127.0.0.2]",
    "unspecified-six": "[::]",
    "mapped": "[::ffff:10.0.0.1]",
    "mapped-hexadecimal": "[::ffff:a00:1]",
    "compatible": "[::10.0.0.1]",
    "six-to-four": "[2002:a00:1::]",
    "teredo": "[2001:0:a00:1::f5ff:fffe]",
    "nat64": "[64:ff9b::a00:1]",
    "nat64-local": "[64:ff9b:1::a00:1]",
    "unique-local": "[fd00::1]",
    "link-local": "[fe80::1]",
    "site-local": "[fec0::1]",
    "multicast-six": "[ff02::1]",
    "documentation": "[2001:db8::1]",
    "user": "good.example@10.0.0.1",
    "user-and-word": "good.example:80@10.0.0.1",
    "fullwidth-digits": "１０.0.0.1",  # noqa: RUF001  # The attack itself.
    "fullwidth-dots": "10。0。0。1",
    "circled-digits": "①⓪.0.0.①",
    "encoded-digits": "%31%30.0.0.1",
}
_SCHEMES = {
    "file": "file:///etc/passwd",
    "ftp": "ftp://10.0.0.1/",
    "gopher": "gopher://10.0.0.1:25/_HELO",
    "dict": "dict://10.0.0.1:11211/stats",
    "javascript": "javascript:alert(1)",
    "smb": "smb://10.0.0.1/share",
    "unknown": "x-y-z://10.0.0.1/",
    "broken": "http://[::1",
    "bad-port": "http://10.0.0.1:99999/",
    "data": "data:image/png;base64,iVBORw0KGgo=",
}


def add_addresses(kit: Kit) -> None:
    """Each address and each scheme twice: as a URL, and as the target of a redirect."""
    inside = (Outcome.FORBIDDEN_ADDRESS, Outcome.INVALID_URL)
    for name, address in _INWARDS.items():
        url = f"http://{address}/"
        kit.attacks.append(Attack(f"direct-{name}", f"`{url}`", url, inside, _GUARD))
        page, words = raw_redirect(url.encode()), (*inside[:1], Outcome.BAD_REDIRECT)
        kit.page(f"inward-{name}", page, f"a redirect to `{url}`", _GUARD, *words)
    for name, url in _SCHEMES.items():
        if name != "data":
            attack = Attack(f"url-{name}", f"`{url}`", url, (Outcome.INVALID_URL,), _SCHEME)
            kit.attacks.append(attack)
        page = raw_redirect(url.encode())
        what = f"a redirect to `{url}`"
        kit.page(f"scheme-{name}", page, what, _SCHEME, Outcome.BAD_REDIRECT)
    long = "http://" + ".".join(["ü" * 20] * 300) + ".test/"
    what = "a host of 300 labels in Unicode"
    words = (Outcome.INVALID_URL, Outcome.DNS)
    kit.attacks.append(Attack("url-long-host", what, long, words, "253 characters of host"))
