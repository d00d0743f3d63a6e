"""The real kubectl, as people use it."""

from __future__ import annotations

import json
import subprocess
import threading
from typing import Any

import pytest
import yaml

from tests.conformance.conftest import Space, note, vm
from tests.support.cluster import kubectl_environment, watching
from tests.support.engine import until


@pytest.fixture
def notes(space: Space) -> Space:
    """Two Secrets, one of them labelled."""
    space.make(note("a", labels={"app": "web"}), note("b"))
    return space


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["secrets", "-o", "name"], "secret/a\nsecret/b\n"),
        (["secret", "a", "-o", "jsonpath={.data.key}"], "dmFsdWU="),
        (["secret/a", "secret/b", "-o", "jsonpath={.items[*].metadata.name}"], "a b"),
        (["secrets", "-l", "app=web", "-o", "name"], "secret/a\n"),
        (["secrets", "-l", "app!=web", "-o", "name"], "secret/b\n"),
        (["secrets", "--field-selector=metadata.name=b", "-o", "name"], "secret/b\n"),
        (["secret", "a", "-o", "custom-columns=N:.metadata.name,T:.type", "--no-headers"], "a     Opaque\n"),
        (["secret", "a", "-o", "go-template={{.kind}}"], "Secret"),
        (["secrets", "--sort-by=.metadata.name", "-o", "name"], "secret/a\nsecret/b\n"),
        (["secrets", "--chunk-size=1", "-o", "name"], "secret/a\nsecret/b\n"),
        (["secret", "nobody", "--ignore-not-found"], ""),
    ],
)
def test_get_prints_what_is_asked_for(notes: Space, words: list[str], printed: str) -> None:
    assert notes.kubectl("get", *words) == printed


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_get_prints_whole_objects(notes: Space, form: str, read: Any) -> None:
    found = read(notes.kubectl("get", "secret", "a", "-o", form))
    assert (found["kind"], found["metadata"]["labels"]) == ("Secret", {"app": "web"})


@pytest.mark.parametrize(
    ("words", "columns"),
    [
        (["vms"], ["NAME", "AGE", "STATUS", "READY"]),
        (["vm", "-o", "wide"], ["NAME", "AGE", "STATUS", "READY"]),
        (["vm", "--show-labels"], ["NAME", "AGE", "STATUS", "READY", "LABELS"]),
        (["vm", "-A"], ["NAMESPACE", "NAME", "AGE", "STATUS", "READY"]),
    ],
)
def test_get_shows_kubevirts_columns(space: Space, words: list[str], columns: list[str]) -> None:
    space.make(vm())
    assert space.kubectl("get", *words).splitlines()[0].split() == columns


def test_get_shows_secrets_as_a_cluster_does(notes: Space) -> None:
    lines = notes.kubectl("get", "secrets").splitlines()
    assert lines[0].split() == ["NAME", "TYPE", "DATA", "AGE"]
    assert lines[1].split()[:3] == ["a", "Opaque", "1"]


def test_get_all_shows_machines_and_services(space: Space) -> None:
    space.make(vm())
    assert "virtualmachine.kubevirt.io/web" in space.kubectl("get", "all")


def test_get_watches(notes: Space) -> None:
    words = ("get", "secrets", "-n", notes.name, "-o", "name", "--watch")
    with watching(notes.cluster, *words) as lines:
        assert [next(lines), next(lines)] == ["secret/a", "secret/b"]
        notes.make(note("c"))
        assert next(lines) == "secret/c"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["secret", "nobody"], 'Error from server (NotFound): secrets "nobody" not found'),
        (["vm", "nobody"], 'Error from server (NotFound): virtualmachines.kubevirt.io "nobody" not found'),
        (["nothings"], "the server doesn't have a resource type"),
    ],
)
def test_get_says_what_is_missing(space: Space, words: list[str], said: str) -> None:
    assert said in space.kubectl("get", *words, check=False)


def test_create_makes_and_says_so_and_refuses_a_second(space: Space) -> None:
    words = ("create", "secret", "generic", "a", "--from-literal=key=value")
    assert space.kubectl(*words) == "secret/a created\n"
    assert 'secrets "a" already exists' in space.kubectl(*words, check=False)
    assert space.kubectl("create", "-f", "-", stdin=note("b")) == "secret/b created\n"


def test_create_makes_config_maps_and_namespaces(space: Space) -> None:
    assert space.kubectl("create", "configmap", "a", "--from-literal=key=value") == "configmap/a created\n"
    assert space.kubectl("get", "configmap", "a", "-o", "jsonpath={.data.key}") == "value"
    dry = space.kubectl("create", "namespace", f"{space.name}-b", "--dry-run=server")
    assert dry == f"namespace/{space.name}-b created (server dry run)\n"


def test_apply_creates_then_changes_then_leaves_alone(space: Space) -> None:
    first, second = note("a", labels={"x": "1"}), note("a", labels={"y": "2"})
    said = [space.kubectl("apply", "-f", "-", stdin=obj) for obj in (first, first, second)]
    assert [line.split()[-1] for line in said] == ["created", "unchanged", "configured"]
    assert space.get("secrets", "a").document["metadata"]["labels"] == {"y": "2"}


def test_apply_changes_a_machines_template_and_finds_its_defaults_unchanged(space: Space) -> None:
    said = [space.kubectl("apply", "-f", "-", stdin=obj) for obj in (vm(), vm(), vm(hostname="other"))]
    assert [line.split()[-1] for line in said] == ["created", "unchanged", "configured"]
    assert space.get("virtualmachines", "web").document["spec"]["template"]["spec"]["hostname"] == "other"


def test_apply_takes_several_objects_at_once(space: Space) -> None:
    both = {"apiVersion": "v1", "kind": "List", "items": [note("a"), vm()]}
    assert space.kubectl("apply", "-f", "-", stdin=both).splitlines() == [
        "secret/a created",
        "virtualmachine.kubevirt.io/web created",
    ]


@pytest.mark.parametrize("obj", [vm(hostnam="x"), note("web") | {"dat": {}}])
def test_apply_and_create_find_typing_errors(space: Space, obj: dict) -> None:
    for verb in ("apply", "create"):
        assert "unknown field" in space.kubectl(verb, "-f", "-", stdin=obj, check=False)
    assert space.names("secrets") + space.names("virtualmachines") == []


@pytest.mark.parametrize("verb", ["apply", "create"])
def test_a_dry_run_on_the_server_changes_nothing(space: Space, verb: str) -> None:
    assert "(server dry run)" in space.kubectl(verb, "-f", "-", "--dry-run=server", stdin=note("a"))
    assert space.names("secrets") == []


def test_describe_tells_of_an_object_and_its_events(space: Space) -> None:
    space.make(note("a"), vm())
    assert "key:  5 bytes" in space.kubectl("describe", "secret", "a")
    shown = space.kubectl("describe", "vm", "web")
    assert "Run Strategy:  Halted" in shown
    assert "Events:" in shown
    assert "Status:       Active" in space.cluster.kubectl("describe", "namespace", space.name)


@pytest.mark.parametrize(
    "goal",
    ["condition=Ready=false", "jsonpath={.status.printableStatus}=Stopped", "jsonpath={.metadata.uid}", "create"],
)
def test_wait_ends_when_it_is_so(space: Space, goal: str) -> None:
    space.make(vm())
    assert "condition met" in space.kubectl("wait", f"--for={goal}", "vm/web", "--timeout=20s")


def test_wait_ends_when_it_becomes_so(space: Space) -> None:
    space.make(note("a"))
    timer = threading.Timer(0.5, space.patch, ("secrets", "a", {"metadata": {"labels": {"x": "y"}}}))
    timer.start()
    assert "condition met" in space.kubectl(
        "wait", "--for=jsonpath={.metadata.labels.x}=y", "secret/a", "--timeout=20s"
    )
    timer.join()


def test_wait_hears_of_a_deletion(space: Space) -> None:
    space.make(note("a"))
    line = space.cluster.kubectl_command("wait", "--for=delete", "secret/a", "--timeout=60s", "-n", space.name, "-v=6")
    with subprocess.Popen(line, stdout=-1, stderr=-1, text=True, env=kubectl_environment()) as waiting:
        assert waiting.stderr
        assert any("watch=true" in said for said in waiting.stderr)
        space.delete("secrets", "a")
        assert "condition met" in waiting.communicate()[0]


def test_wait_gives_up_in_time(space: Space) -> None:
    space.make(vm())
    assert "timed out" in space.kubectl("wait", "--for=condition=Ready", "vm/web", "--timeout=1s", check=False)


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["secret", "a"], ["b"]),
        (["secret", "a", "b"], []),
        (["secrets", "--all"], []),
        (["secrets", "-l", "app=web"], ["b"]),
        (["secret", "a", "--now"], ["b"]),
        (["secret", "a", "--wait=false"], ["b"]),
        (["secret", "a", "--cascade=foreground"], ["b"]),
        (["secret", "nobody", "--ignore-not-found"], ["a", "b"]),
    ],
)
def test_delete_removes_what_is_named(notes: Space, words: list[str], left: list[str]) -> None:
    notes.kubectl("delete", *words)
    until(lambda: notes.names("secrets") == left, 10)


def test_delete_waits_for_the_end_of_what_is_held(space: Space) -> None:
    space.make(note("a", finalizers=["labkit.test/hold"]))
    free = (("secrets", "a", {"metadata": {"finalizers": None}}),)
    timer = threading.Timer(0.5, lambda: space.patch(*free[0]))
    timer.start()
    assert 'secret "a" deleted' in space.kubectl("delete", "secret", "a", "--timeout=20s")
    assert space.names("secrets") == []
    timer.join()


@pytest.mark.parametrize(("cascade", "left"), [("orphan", ["b"]), ("background", []), ("foreground", [])])
def test_delete_takes_or_leaves_what_is_owned(space: Space, cascade: str, left: list[str]) -> None:
    owner = space.make(note("a"))["metadata"]
    reference = {"apiVersion": "v1", "kind": "Secret", "name": "a", "uid": owner["uid"]}
    space.make(note("b", ownerReferences=[reference]))
    space.kubectl("delete", "secret", "a", f"--cascade={cascade}")
    until(lambda: space.names("secrets") == left, 30)


@pytest.mark.parametrize(
    ("form", "patch"),
    [
        ("merge", '{"metadata":{"labels":{"x":"y"}}}'),
        ("strategic", '{"metadata":{"labels":{"x":"y"}}}'),
        ("json", '[{"op":"add","path":"/metadata/labels","value":{"x":"y"}}]'),
    ],
)
def test_patch_changes_an_object(space: Space, form: str, patch: str) -> None:
    space.make(note("a"))
    assert space.kubectl("patch", "secret", "a", f"--type={form}", f"--patch={patch}") == "secret/a patched\n"
    assert space.get("secrets", "a").document["metadata"]["labels"] == {"x": "y"}


def test_patch_of_a_machine_must_say_its_form(space: Space) -> None:
    space.make(vm())
    assert "is not supported by" in space.kubectl("patch", "vm", "web", "-p", "{}", check=False)
    assert "patched" in space.kubectl("patch", "vm", "web", "--type=merge", "-p", '{"spec":{"runStrategy":"Manual"}}')


@pytest.mark.parametrize(("verb", "where"), [("label", "labels"), ("annotate", "annotations")])
@pytest.mark.parametrize(("plural", "name"), [("secrets", "a"), ("virtualmachines", "web")])
def test_label_and_annotate_set_change_and_remove(space: Space, verb: str, where: str, plural: str, name: str) -> None:
    space.make(note("a"), vm())

    def value() -> str | None:
        return space.get(plural, name).document["metadata"].get(where, {}).get("x")

    space.kubectl(verb, plural, name, "x=1")
    assert "overwrite" in space.kubectl(verb, plural, name, "x=2", check=False)
    assert value() == "1"
    space.kubectl(verb, plural, name, "x=2", "--overwrite")
    assert value() == "2"
    space.kubectl(verb, plural, name, "x-")
    assert value() is None


@pytest.mark.parametrize(("what", "plural"), [("secret/web", "secrets"), ("vm/web", "virtualmachines")])
def test_edit_saves_what_the_editor_leaves(space: Space, what: str, plural: str) -> None:
    space.make(
        note("web", annotations={"x": "before"}), vm() | {"metadata": {"name": "web", "annotations": {"x": "before"}}}
    )
    done = space.cluster.run_kubectl("edit", what, "-n", space.name, KUBE_EDITOR="sed -i s/before/after/")
    assert done.returncode == 0, done.stderr
    assert space.get(plural, "web").document["metadata"]["annotations"]["x"] == "after"


def test_diff_tells_what_apply_would_change(space: Space) -> None:
    space.kubectl("apply", "-f", "-", stdin=note("a", labels={"x": "1"}))
    same = space.cluster.run_kubectl(
        "diff", "-f", "-", "-n", space.name, stdin=json.dumps(note("a", labels={"x": "1"}))
    )
    other = space.cluster.run_kubectl(
        "diff", "-f", "-", "-n", space.name, stdin=json.dumps(note("a", labels={"x": "2"}))
    )
    assert (same.returncode, same.stdout) == (0, "")
    assert (other.returncode, '+    x: "2"' in other.stdout) == (1, True)


def test_replace_puts_one_object_for_another(space: Space) -> None:
    space.make(note("a", labels={"x": "1"}))
    assert space.kubectl("replace", "-f", "-", stdin=note("a", labels={"y": "2"})) == "secret/a replaced\n"
    assert space.get("secrets", "a").document["metadata"]["labels"] == {"y": "2"}
    assert "replaced" in space.kubectl("replace", "--force", "-f", "-", stdin=note("a"))
    assert "(NotFound)" in space.kubectl("replace", "-f", "-", stdin=note("b"), check=False)


def test_events_tell_why_a_machine_does_not_start(space: Space) -> None:
    space.make(vm(strategy="Always"))
    until(lambda: "web" in space.kubectl("get", "events"), 30)
    assert "SuccessfulCreate" in space.kubectl("events", "--for=virtualmachine/web")


@pytest.mark.parametrize("path", ["/readyz", "/version", "/apis/kubevirt.io/v1"])
def test_get_reads_raw_documents(space: Space, path: str) -> None:
    assert space.cluster.kubectl("get", f"--raw={path}")
