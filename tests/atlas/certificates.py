"""A certificate authority of the tests' own, and a server's certificate for this machine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass(frozen=True)
class Certificates:
    """Where they are: the authority's certificate, and a server's key and certificate in one."""

    ca: Path
    server: Path


def make(folder: Path) -> Certificates:
    """New ones, in a folder."""
    now = datetime.now(UTC)

    def certificate(name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(subject_name=subject, public_key=key.public_key())
        builder = builder.issuer_name(authority).serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - timedelta(days=1)).not_valid_after(
            now + timedelta(days=30)
        )

    authority = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests' Atlas CA")])
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    constraints = x509.BasicConstraints(ca=True, path_length=0)
    usage = x509.KeyUsage(
        *(False,) * 5, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False
    )
    ca = (
        certificate("tests' Atlas CA", ca_key)
        .add_extension(constraints, True)
        .add_extension(usage, True)
    )
    names = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
    )
    own = certificate("localhost", key).add_extension(names, False)
    identifier = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    ca = ca.add_extension(identifier, False)
    own = own.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False
    )
    pem = serialization.Encoding.PEM
    found = Certificates(folder / "ca.pem", folder / "server.pem")
    found.ca.write_bytes(ca.sign(ca_key, hashes.SHA256()).public_bytes(pem))
    found.server.touch(mode=0o600)
    plain = serialization.NoEncryption()
    found.server.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
        + own.sign(ca_key, hashes.SHA256()).public_bytes(pem)
    )
    return found
