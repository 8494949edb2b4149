"""A certificate authority for an afternoon, and certificates that deserve trust or do not.

Everything is made at run time: no key lies in the repository.
"""

import ssl
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ingest.miniweb.site import Flaw

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """A certificate authority: its certificate, and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """What a client has to trust."""
        return self.certificate.public_bytes(Encoding.PEM)


def make_authority(now: datetime, name: str = "miniweb test authority") -> Authority:
    """A new authority that is valid around `now`."""
    key = ec.generate_private_key(ec.SECP256R1())
    plan = _plan(name, name, key, now - 2 * _DAY, now + 30 * _DAY)
    plan = plan.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    usage = x509.KeyUsage(**dict.fromkeys(_USAGES, False) | {"key_cert_sign": True})
    plan = plan.add_extension(usage, critical=True)
    plan = plan.add_extension(_key_id(key), critical=False)
    return Authority(plan.sign(key, hashes.SHA256()), key)


def tls_context(authority: Authority, flaws: dict[str, Flaw], now: datetime) -> ssl.SSLContext:
    """A server's context that shows each host of `flaws` its certificate; HTTP/1.1 only."""
    contexts = {host: _context(authority, host, flaw, now) for host, flaw in flaws.items()}
    front = _context(authority, "localhost", Flaw.NONE, now)

    def choose(connection: ssl.SSLObject, host: str | None, _: ssl.SSLContext) -> None:
        connection.context = contexts.get(host or "", front)

    front.sni_callback = choose
    return front


_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
    *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


def _context(authority: Authority, host: str, flaw: Flaw, now: datetime) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _leaf(authority, host, key, flaw, now)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with tempfile.TemporaryDirectory() as folder:
        chain = Path(folder, "chain.pem")
        chain.write_bytes(certificate.public_bytes(Encoding.PEM) + secret)
        context.load_cert_chain(chain)
    return context


def _leaf(
    authority: Authority, host: str, key: ec.EllipticCurvePrivateKey, flaw: Flaw, now: datetime
) -> x509.Certificate:
    begin, end = now - _DAY, now + 30 * _DAY
    if flaw is Flaw.EXPIRED:
        begin, end = now - 2 * _DAY, now - _DAY
    if flaw is Flaw.EARLY:
        begin = now + _DAY
    if flaw is Flaw.STRANGER:
        authority = make_authority(now, "another authority")
    issuer_name = authority.certificate.subject.rfc4514_string().removeprefix("CN=")
    signer = key if flaw is Flaw.SELF_SIGNED else authority.key
    issuer = host if flaw is Flaw.SELF_SIGNED else issuer_name
    plan = _plan(host, issuer, key, begin, end)
    if flaw is not Flaw.NO_NAME:
        named = "other.localhost" if flaw is Flaw.OTHER_NAME else host
        plan = plan.add_extension(x509.SubjectAlternativeName([x509.DNSName(named)]), False)
    signer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    plan = plan.add_extension(signer_id, critical=False)
    return plan.add_extension(_key_id(key), critical=False).sign(signer, hashes.SHA256())


def _plan(
    subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )


def _key_id(key: ec.EllipticCurvePrivateKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())
