"""A Git repository that somebody in a browser has named: one commit of it, from the address that was judged."""

from __future__ import annotations

import datetime
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from labkit.errors import Conflict, LabkitError, NotFound
from labkit.library import cloned
from labkit.templates import load
from lti_app.lti.outbound import OutboundRefused, open_addresses
from tests.library.test_library import git, repository, write

__all__ = ["repository"]
HOST = "git.example"


class Forge(BaseHTTPRequestHandler):
    """A Git server: git's own, by CGI. `/moved/…` is somewhere else."""

    root = Path()

    def do_GET(self) -> None:
        if self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/moved"))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = {"PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command}
        kind = {
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "GIT_PROTOCOL": self.headers["Git-Protocol"] or "",
        }
        coded = {"HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", "")}
        own = {"GIT_PROJECT_ROOT": str(self.root), "GIT_HTTP_EXPORT_ALL": "1", "CONTENT_LENGTH": str(len(body))}
        env = {**os.environ, **asked, **kind, **coded, **own}
        done = subprocess.run(["git", "http-backend"], env=env, input=body, capture_output=True, check=True)
        head, _, answer = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """The tests' output is no access log."""


def certificate(path: Path) -> Path:
    """A file with a key and a certificate for the host, signed by itself."""
    key, now = generate_private_key(public_exponent=65537, key_size=2048), datetime.datetime.now(datetime.UTC)
    name, day = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)]), datetime.timedelta(days=1)
    named = x509.SubjectAlternativeName([x509.DNSName(HOST)])
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    dated = built.serial_number(1).not_valid_before(now - day).not_valid_after(now + day)
    signed = dated.add_extension(named, critical=False).sign(key, hashes.SHA256())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(key.private_bytes(*form) + signed.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def forge(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address below which the repository is, at a host that no name server knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path / "tls.pem"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Here", (Forge,), {"root": repository.parent}))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("GIT_SSL_CAINFO", str(tmp_path / "tls.pem"))
    yield f"https://{HOST}:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_one_lab_is_fetched_from_the_address_that_was_judged(forge: str) -> None:
    with cloned(f"{forge}/repository/.git", ["127.0.0.1"], folder="labs/two") as found:
        assert load(found).name == "two"
    with cloned(f"{forge}/repository/.git", ["127.0.0.1"], ref="old") as found:
        assert (found / "instructions/1.md").read_text() == "# Old\n"
    assert not found.exists()


def test_of_several_labs_the_folder_has_to_be_said(forge: str) -> None:
    address = f"{forge}/repository/.git"
    with pytest.raises(Conflict, match=r"2 labs .* \(labs/one, labs/two\)"), cloned(address, ["127.0.0.1"]):
        pass


@pytest.mark.parametrize("folder", ["../x", "/etc", "labs/.git", "-x", "labs/"])
def test_a_folder_is_one_below_the_top(folder: str) -> None:
    with pytest.raises(Conflict, match="name the folder"), cloned(f"https://{HOST}/x.git", [], folder=folder):
        pass


def test_a_repository_with_links_is_refused(forge: str, repository: Path) -> None:
    (repository / "labs/one/link").symlink_to("/etc/passwd")
    git(repository, "add", ".")
    git(repository, "commit", "-m", "z")
    with pytest.raises(Conflict, match="no plain file"), cloned(f"{forge}/repository/.git", ["127.0.0.1"]):
        pass


def test_no_redirect_is_followed_and_what_is_not_there_is_said(forge: str) -> None:
    for path, ref in (("moved/repository/.git", ""), ("none.git", ""), ("repository/.git", "x")):
        with pytest.raises(LabkitError, match="git fetch failed"), cloned(f"{forge}/{path}", ["127.0.0.1"], ref=ref):
            pass


def test_a_repository_without_a_lab_is_none(forge: str, repository: Path) -> None:
    write(repository / "a/b/c/d", "deep")
    git(repository, "add", ".")
    git(repository, "commit", "-m", "z")
    with pytest.raises(NotFound, match=r"no lab\.yaml"), cloned(f"{forge}/repository/.git", ["127.0.0.1"], folder="a"):
        pass


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]"])
def test_a_host_in_a_private_network_is_not_asked(host: str) -> None:
    with pytest.raises(OutboundRefused, match="private network"):
        open_addresses(f"https://{host}/x.git", private=False)
