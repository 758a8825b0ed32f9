"""An own CA, and a certificate for each server.

One CA for a stack, ten years, its key 0600 and never given to a server. A server's certificate
lasts `DAYS` and is made anew by `up` when less than a third of that is left, or when the names it
has to hold or the CA change.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mngdb import disk
from mngdb.errors import MngdbError

DAYS = 825
_CA_DAYS = 3650


def ensure_ca(folder: Path, stack: str) -> Path:
    """The CA's certificate, made with its key when one of them is missing. Returns its path."""
    certificate, key_path = folder / "ca.crt", folder / "ca.key"
    # the engines' processes come here side by side, and must not make two
    with disk.alone(folder / "lock"):
        if not (certificate.exists() and key_path.exists()):
            key = ec.generate_private_key(ec.SECP256R1())
            disk.write(key_path, _key_pem(key))
            disk.write(certificate, _pem(_authority(key, stack)), mode=0o644)
    return certificate


def _authority(key: ec.EllipticCurvePrivateKey, stack: str) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"mngdb CA of {stack}")])
    return (
        _builder(name, name, key.public_key(), _CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def needs_certificate(path: Path, ca: Path, hosts: list[str]) -> bool:
    """Whether a server's certificate is missing, soon over, made for other names, or not signed
    by the CA that clients are given. Raises UsageError for what is no file."""
    try:
        # the account's that the server runs as
        found = x509.load_pem_x509_certificate(_bytes(path, owners=None))
        found.verify_directly_issued_by(x509.load_pem_x509_certificate(_bytes(ca)))
    except (OSError, ValueError, TypeError, InvalidSignature):
        return True
    left = found.not_valid_after_utc - dt.datetime.now(dt.UTC)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return left < dt.timedelta(days=DAYS / 3) or set(names) != set(_names(hosts))


def _bytes(path: Path, owners: Collection[int] | None = ()) -> bytes:
    """A file's content; nothing where there is none."""
    text = disk.read_own(path, owners=owners) or ""
    return text.encode(errors="surrogateescape")


def unfit(certificate: str, key: str, host: str) -> str | None:
    """Why a certificate of somebody else, with its key, is no use for a host; None: it is. Both
    are PEM texts."""
    try:
        found = x509.load_pem_x509_certificate(certificate.encode())
        ours = serialization.load_pem_private_key(key.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        return f"they cannot be read: {error}"
    if found.public_key() != ours.public_key():
        return "the key does not match the certificate"
    if found.not_valid_after_utc < dt.datetime.now(dt.UTC):
        return f"the certificate expired at {found.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "the certificate has no host names"
    known = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    if host in known or f"*.{host.partition('.')[2]}" in known:
        return None
    return f"the certificate is for {', '.join(known[:5]) or 'no host'}, not for {host}"


def certificate(folder: Path, hosts: list[str]) -> tuple[str, str]:
    """A new server certificate and its key, as PEM texts, signed by the CA in `folder`."""
    try:
        issuer = x509.load_pem_x509_certificate(_bytes(folder / "ca.crt"))
        ca_key = serialization.load_pem_private_key(_bytes(folder / "ca.key"), None)
    except (OSError, ValueError) as error:
        raise MngdbError(
            f"the CA in {folder} cannot be used: {error}",
            "remove the folder to create a new CA; every client then needs the new ca.crt",
        ) from None
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise MngdbError(f"{folder / 'ca.key'} is not a key that mngdb made")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    built = (
        _builder(subject, issuer.subject, key.public_key(), DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(_names(hosts)), critical=False)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(
            # MongoDB members speak to themselves, so the server is a client too
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    return _pem(built), _key_pem(key)


def _names(hosts: list[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.DNSName("localhost")]
    for host in dict.fromkeys(["127.0.0.1", *hosts]):
        try:
            names.append(x509.IPAddress(ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))  # clocks differ
        .not_valid_after(now + dt.timedelta(days=days))
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
