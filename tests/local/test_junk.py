"""Whatever is sent, the answer is a Status that names the fault, and the engine's log holds no traceback."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.engine import EngineProcess, machine, namespace, running_engine

SPACE = "/api/v1/namespaces/default"
SECRETS, QUOTAS = f"{SPACE}/secrets", f"{SPACE}/resourcequotas"
VMS = "/apis/kubevirt.io/v1/namespaces/default/virtualmachines"
JSON, YAML = "application/json", "application/yaml"
MERGE, OPERATIONS = "application/merge-patch+json", "application/json-patch+json"
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
EVENT = {"involvedObject": {}, "lastTimestamp": "yesterday"}
TORN = base64.b64encode(b"[1e999,1,2]").decode()
MANY = ",".join(str(n) for n in range(5000))


def raw(engine: EngineProcess, method: str, path: str, body: bytes, media_type: str) -> tuple[int, bytes]:
    """One request exactly as given."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    server = urlsplit(json.loads(engine.kubeconfig.read_text())["clusters"][0]["cluster"]["server"])
    connection = http.client.HTTPSConnection(str(server.hostname), server.port, context=context, timeout=30)
    try:
        headers = {"Authorization": f"Bearer {engine.token}", "Content-Type": media_type}
        connection.request(method, path, body=body or None, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def secret(**meta: Any) -> bytes:
    """A Secret with such metadata."""
    return json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "junk"} | meta}).encode()


def junk(**content: Any) -> bytes:
    """An object named ``junk``."""
    return json.dumps({"metadata": {"name": "junk"}} | content).encode()


STEP = {"op": "copy", "from": "/status", "path": "/status/a"}
DEEPER = json.dumps([{"op": "add", "path": "/status", "value": {"a": {}}}, *[STEP] * 1500]).encode()
MACHINE = {"spec": machine("real", "default", strategy="Halted")["spec"]}
BOMB = b"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (new, new, b",".join([b"*%c" % old] * 10))
    for old, new in zip(b"abcdefgh", b"bcdefghi", strict=True)
)
ROWS: list[tuple[str, str, str, bytes, str, int]] = [
    ("ten megabytes", "POST", SECRETS, b'"' + b"x" * 10_000_000 + b'"', JSON, 413),
    ("no JSON", "POST", SECRETS, b"{", JSON, 400),
    ("not UTF-8", "POST", SECRETS, b'{"a":"\xff"}', JSON, 400),
    ("an empty body", "POST", SECRETS, b"", JSON, 400),
    ("a list", "POST", SECRETS, b"[]", JSON, 400),
    ("null", "POST", SECRETS, b"null", JSON, 400),
    ("too deep", "POST", SECRETS, b"[" * 100_000, JSON, 400),
    ("rather deep", "POST", SECRETS, b'{"a":' * 500 + b"1" + b"}" * 500, JSON, 400),
    ("NaN", "POST", SECRETS, b'{"metadata":{"name":"junk","generation":NaN}}', JSON, 400),
    ("infinity", "POST", SECRETS, b'{"metadata":{"name":"junk","generation":1e999}}', JSON, 400),
    ("a huge integer", "POST", SECRETS, b'{"metadata":{"name":"junk","generation":' + b"9" * 30 + b"}}", JSON, 400),
    ("a huger integer", "POST", SECRETS, b'{"metadata":{"generation":' + b"9" * 9000 + b"}}", JSON, 400),
    ("twice the same key", "POST", f"{SECRETS}?fieldValidation=Strict", b'{"data":{},"data":{}}', JSON, 400),
    ("protobuf of no kind", "POST", SECRETS, b"k8s\0", "application/vnd.kubernetes.protobuf", 415),
    ("torn protobuf", "POST", SECRETS, b"k8s\0\x0a\x7f", "application/vnd.kubernetes.protobuf", 400),
    ("a form", "POST", SECRETS, b"a=b", "application/x-www-form-urlencoded", 415),
    ("no media type", "POST", SECRETS, b"{}", "%", 415),
    ("no YAML", "POST", SECRETS, b"a: [", YAML, 400),
    ("YAML with a tag", "POST", SECRETS, b"!!python/object/apply:os.getpid []", YAML, 400),
    ("a YAML bomb", "POST", SECRETS, BOMB, YAML, 400),
    ("two YAML documents", "POST", SECRETS, b"a: b\n---\na: b\n", YAML, 400),
    ("metadata of another type", "POST", SECRETS, b'{"metadata":[]}', JSON, 400),
    ("a name of another type", "POST", SECRETS, secret(name=5), JSON, 400),
    ("labels of another type", "POST", SECRETS, secret(labels=[1]), JSON, 400),
    ("a label of another type", "POST", SECRETS, secret(labels={"a": 1}), JSON, 400),
    ("finalizers of another type", "POST", SECRETS, secret(finalizers={"a": 1}), JSON, 400),
    ("owners of another type", "POST", SECRETS, secret(ownerReferences=["a"]), JSON, 400),
    ("managers of another type", "POST", SECRETS, secret(managedFields=5), JSON, 400),
    ("no name", "POST", SECRETS, secret(name=""), JSON, 422),
    ("a name with dots", "POST", SECRETS, secret(name=".."), JSON, 422),
    ("a name with a slash", "POST", SECRETS, secret(name="a/b"), JSON, 422),
    ("a name with a zero", "POST", SECRETS, secret(name="a\0"), JSON, 422),
    ("a name in capitals", "POST", SECRETS, secret(name="Junk"), JSON, 422),
    ("a name ending in a newline", "POST", SECRETS, secret(name="junk\n"), JSON, 422),
    ("a name of 254 letters", "POST", SECRETS, secret(name="x" * 254), JSON, 422),
    ("half a surrogate pair", "POST", SECRETS, b'{"metadata":{"name":"\\ud800"}}', JSON, 422),
    ("a namespace of 64 letters", "POST", "/api/v1/namespaces", json.dumps(namespace("x" * 64)).encode(), JSON, 422),
    ("a label's key", "POST", SECRETS, secret(labels={"a b": "c"}), JSON, 422),
    ("a label's value", "POST", SECRETS, secret(labels={"a": "b c"}), JSON, 422),
    ("a long label", "POST", SECRETS, secret(labels={"a": "b" * 64}), JSON, 422),
    ("an annotation's key", "POST", SECRETS, secret(annotations={"/": "c"}), JSON, 422),
    ("long annotations", "POST", SECRETS, secret(annotations={"a": "b" * 2**18}), JSON, 422),
    ("a finalizer", "POST", SECRETS, secret(finalizers=["a b"]), JSON, 422),
    ("an owner without a uid", "POST", SECRETS, secret(ownerReferences=[{"kind": "a"}]), JSON, 422),
    ("a resourceVersion at creation", "POST", SECRETS, secret(resourceVersion="5"), JSON, 400),
    ("another namespace", "POST", SECRETS, secret(namespace="other"), JSON, 400),
    ("another kind", "POST", SECRETS, b'{"kind":"Pod","apiVersion":"v1"}', JSON, 400),
    ("an unknown dryRun", "POST", f"{SECRETS}?dryRun=some", secret(), JSON, 400),
    ("an unknown group", "GET", "/apis/nothing.example/v1/things", b"", JSON, 404),
    ("an unknown kind", "GET", "/api/v1/things", b"", JSON, 404),
    ("an unknown kind below one", "GET", f"{SECRETS}/a/b/c/d", b"", JSON, 404),
    ("a path upwards", "GET", "/api/v1/../../etc/passwd", b"", JSON, 404),
    ("a path upwards, coded", "GET", f"{SECRETS}/%2e%2e%2f%2e%2e", b"", JSON, 404),
    ("a coded slash", "GET", f"{SECRETS}/a%2Fb", b"", JSON, 404),
    ("a coded slash in a namespace", "GET", "/api/v1/namespaces/a%2Fb/secrets/c", b"", JSON, 404),
    ("a coded zero", "GET", f"{SECRETS}/%00", b"", JSON, 404),
    ("no UTF-8 in a path", "GET", f"{SECRETS}/%ff%fe", b"", JSON, 404),
    ("half a code", "GET", f"{SECRETS}/%z", b"", JSON, 404),
    ("an unknown method", "OPTIONS", SECRETS, b"", JSON, 405),
    ("a verb on the wrong thing", "PUT", SECRETS, secret(), JSON, 405),
    ("a PUT of what is not there", "PUT", f"{SECRETS}/junk", secret(), JSON, 404),
    ("a PUT of another name", "PUT", f"{SECRETS}/other", secret(), JSON, 400),
    ("a PATCH of what is not there", "PATCH", f"{SECRETS}/junk", b"{}", MERGE, 404),
    ("DeleteOptions that are none", "DELETE", f"{SECRETS}/real", b'{"gracePeriodSeconds":"x"}', JSON, 400),
    ("other DeleteOptions", "DELETE", f"{SECRETS}/real", b'{"propagationPolicy":["x"]}', JSON, 400),
    ("DeleteOptions in a list", "DELETE", f"{SECRETS}/real", b"[1]", JSON, 400),
    ("odd preconditions", "DELETE", f"{SECRETS}/real", b'{"preconditions":[]}', JSON, 400),
    ("a patch of an unknown type", "PATCH", f"{SECRETS}/real", b"{}", "application/x-patch+json", 415),
    ("a patch of the name", "PATCH", f"{SECRETS}/real", b'{"metadata":{"name":"other"}}', MERGE, 400),
    ("a patch that is null", "PATCH", f"{SECRETS}/real", b"null", MERGE, 400),
    ("a patch of metadata to null", "PATCH", f"{SECRETS}/real", b'{"metadata":null}', MERGE, 400),
    ("a patch of metadata to a word", "PATCH", f"{SECRETS}/real", b'{"metadata":"x"}', MERGE, 400),
    ("a patch to a list", "PATCH", f"{SECRETS}/real", b'[{"op":"replace","path":"","value":[]}]', OPERATIONS, 400),
    ("a position in a list that is none", "GET", f"{SECRETS}?continue={TORN}", b"", JSON, 400),
    ("a selector that is none", "GET", f"{SECRETS}?labelSelector=a%3E1", b"", JSON, 400),
    ("nothing among rules", "POST", f"{RBAC}/roles", b'{"metadata":{"name":"junk"},"rules":[null]}', JSON, 400),
    ("nothing among owners", "POST", SECRETS, secret(ownerReferences=[None]), JSON, 400),
    ("nothing among finalizers", "POST", SECRETS, secret(finalizers=[None]), JSON, 400),
    ("nothing among ports", "POST", f"{SPACE}/services", junk(spec={"ports": [None]}), JSON, 400),
    ("nothing among limits", "POST", f"{SPACE}/limitranges", junk(spec={"limits": [None]}), JSON, 400),
    ("a time that is none", "POST", f"{SPACE}/events", junk(**EVENT), JSON, 400),
    ("an endless amount", "POST", QUOTAS, junk(spec={"hard": {"pods": "9" * 400}}), JSON, 400),
    ("a list of 5000", "POST", SECRETS, b'{"a":[%s]}' % MANY.encode(), JSON, 400),
    ("an unlink of a status", "DELETE", f"{VMS}/real/status", b"", JSON, 405),
    ("an unknown way to check", "POST", f"{SECRETS}?fieldValidation=Perhaps", secret(), JSON, 422),
    ("deeper with each step", "PATCH", f"{VMS}/real", DEEPER, OPERATIONS, 422),
    ("a machine's status of another shape", "PATCH", f"{VMS}/real/status", b'{"status":{"conditions":5}}', MERGE, 400),
    ("a machine's spec of another type", "POST", VMS, b'{"metadata":{"name":"j"},"spec":[]}', JSON, 400),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "body", "media_type", "code"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS]
)
def test_junk_is_answered_with_a_status(
    engine: EngineProcess, method: str, path: str, body: bytes, media_type: str, code: int
) -> None:
    for path_of_one, content in ((SECRETS, {}), (QUOTAS, {}), (VMS, MACHINE)):
        engine.request("POST", path_of_one, {"metadata": {"name": "real"}, **content})
    answered, text = raw(engine, method, path, body, media_type)
    status = json.loads(text)
    assert (answered, status["kind"], status["code"], status["status"]) == (code, "Status", code, "Failure"), text
    assert status["reason"]
    assert status["message"]


def test_a_body_may_be_yaml(engine: EngineProcess, space: str) -> None:
    body = (
        b"apiVersion: v1\nkind: Secret\nmetadata: {name: y, annotations: {when: 2020-01-01}}\nstringData: {a: 'no'}\n"
    )
    code, text = raw(engine, "POST", f"/api/v1/namespaces/{space}/secrets", body, YAML)
    assert code == 201, text
    assert json.loads(text)["metadata"]["annotations"] == {"when": "2020-01-01"}


NO_HTTP = (
    b"\x00\x01\x02\r\n\r\n",
    b"GET / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"POST %s HTTP/1.1\r\nAuthorization: Bearer %s\r\nContent-Length: 9\r\n\r\n{",
    b"POST %s HTTP/1.1\r\nAuthorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST %s HTTP/1.1\r\nAuthorization: Bearer %s\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
)


def say(engine: EngineProcess, data: bytes) -> None:
    """Send bytes over TLS; wait for an answer, or not, for a moment."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    server = urlsplit(json.loads(engine.kubeconfig.read_text())["clusters"][0]["cluster"]["server"])
    address = str(server.hostname), server.port or 0
    with contextlib.suppress(OSError), context.wrap_socket(socket.create_connection(address)) as connection:
        connection.settimeout(0.3)
        connection.sendall(data.replace(b"%s", SECRETS.encode(), 1).replace(b"%s", engine.token.encode()))
        connection.recv(100)


def test_no_junk_leaves_a_traceback_in_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with running_engine(tmp_path) as engine:
        for _, method, path, body, media_type, _ in ROWS:
            raw(engine, method, path, body, media_type)
        for data in NO_HTTP:
            say(engine, data)
        assert engine.request("GET", "/readyz")[0] == 200
    logged = capfd.readouterr().err
    assert "serving on" in logged
    assert "Traceback" not in logged
