"""Where the engine can be reached: port, certificate, token, kubeconfig."""

from __future__ import annotations

import base64
import ipaddress
import json
import secrets
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from labkit.local.files import write_atomically

HOST = "127.0.0.1"
_ENDPOINT = "endpoint.json"
_YEARS = timedelta(days=3650)
_RENEW = timedelta(days=30)


class EndpointError(Exception):
    """The port cannot be had: one sentence with the remedy."""


def listen(folder: Path, wanted: int) -> socket.socket:
    """A listening socket on loopback: the port asked for, else the one used before, else a free one.

    Raises EndpointError where the port asked for is taken.
    """
    file = folder / _ENDPOINT
    before = int(json.loads(file.read_text())["port"]) if file.exists() else 0
    try:
        listener = socket.create_server((HOST, wanted or before))
    except OSError as error:
        if wanted:
            taken = f"port {wanted} on {HOST} is taken ({error.strerror}): choose another with --port"
            raise EndpointError(taken) from error
        listener = socket.create_server((HOST, 0))
    return listener


def announce(folder: Path, port: int, certificate: bytes, bearer: str) -> None:
    """Say where the engine serves: in the kubeconfig, which clients read again when it changes, then to who waits."""
    write_atomically(folder / "kubeconfig", kubeconfig(port, certificate, bearer).encode())
    write_atomically(folder / _ENDPOINT, json.dumps({"host": HOST, "port": port}).encode())


def token(folder: Path) -> str:
    """The bearer token, made on first use."""
    file = folder / "token"
    if not file.exists():
        write_atomically(file, secrets.token_urlsafe(32).encode())
    return file.read_text()


def tls(folder: Path) -> tuple[ssl.SSLContext, bytes]:
    """The server's TLS context and its certificate (PEM), which is its own authority; made on first use."""
    key, certificate = folder / "tls.key", folder / "tls.crt"
    if not (key.exists() and certificate.exists() and _fresh(certificate.read_bytes())):
        made_key, made_certificate = _self_signed()
        write_atomically(key, made_key)
        write_atomically(certificate, made_certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate.read_bytes()


def kubeconfig(port: int, certificate: bytes, bearer: str) -> str:
    """A kubeconfig (as JSON, which is YAML too)."""
    cluster = {
        "server": f"https://{HOST}:{port}",
        "certificate-authority-data": base64.b64encode(certificate).decode(),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "labkit", "cluster": cluster}],
        "users": [{"name": "labkit", "user": {"token": bearer}}],
        "contexts": [{"name": "labkit", "context": {"cluster": "labkit", "user": "labkit"}}],
        "current-context": "labkit",
    }
    return json.dumps(config, indent=2) + "\n"


def _fresh(certificate: bytes) -> bool:
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc > datetime.now(UTC) + _RENEW


def _self_signed() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "labkit embedded engine")])
    now = datetime.now(UTC)
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST)), x509.DNSName("localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _YEARS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, certificate.public_bytes(serialization.Encoding.PEM)
