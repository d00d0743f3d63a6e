"""What every object has and goes through: identity, versions, patches, dry runs, unknown fields, finalizers, owners."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client

from tests.conformance.conftest import Space, note, vm
from tests.support.engine import until


def test_a_new_object_gets_an_identity(space: Space) -> None:
    meta = space.make(note("a"))["metadata"]
    assert meta["namespace"] == space.name
    assert meta["uid"]
    assert meta["resourceVersion"]
    assert meta["creationTimestamp"].endswith("Z")


def test_the_python_client_makes_reads_changes_and_deletes(space: Space) -> None:
    with space.cluster.api() as api:
        core = client.CoreV1Api(api)
        made = core.create_namespaced_secret(space.name, {"metadata": {"generateName": "s-"}, "stringData": {"a": "b"}})
        name = made.metadata.name
        assert core.read_namespaced_secret(name, space.name).data == {"a": "Yg=="}
        core.patch_namespaced_secret(name, space.name, {"metadata": {"labels": {"x": "y"}}})
        assert core.list_namespaced_secret(space.name, label_selector="x=y").items[0].metadata.name == name
        core.delete_namespaced_secret(name, space.name)
        with pytest.raises(client.ApiException) as gone:
            core.read_namespaced_secret(name, space.name)
    assert gone.value.status == 404


def test_the_python_client_handles_machines_as_custom_objects(space: Space) -> None:
    where = ("kubevirt.io", "v1", space.name, "virtualmachines")
    with space.cluster.api() as api:
        custom = client.CustomObjectsApi(api)
        assert custom.create_namespaced_custom_object(*where, vm())["metadata"]["name"] == "web"
        labels = {"metadata": {"labels": {"x": "y"}}}
        assert custom.patch_namespaced_custom_object(*where, "web", labels)["metadata"]["labels"] == {"x": "y"}
        found = custom.get_namespaced_custom_object(*where, "web")
        custom.replace_namespaced_custom_object(*where, "web", found)
        assert [item["metadata"]["name"] for item in custom.list_namespaced_custom_object(*where)["items"]] == ["web"]
        custom.delete_namespaced_custom_object(*where, "web")
    until(lambda: space.names("virtualmachines") == [], 15)


def test_names_are_generated_and_differ(space: Space) -> None:
    made = [note("", generateName="n-") for _ in range(3)]
    for obj in made:
        del obj["metadata"]["name"]
    names = {space.make(obj)["metadata"]["name"] for obj in made}
    assert len(names) == 3
    assert all(name.startswith("n-") and len(name) == 7 for name in names)


@pytest.mark.parametrize("name", ["", "Upper", "a_b", "-a", "a b", "a/b", "..", "x" * 254])
def test_a_bad_name_is_refused(space: Space, name: str) -> None:
    assert space.post(note(name)).refusal == (422, "Invalid")


def test_a_name_can_be_taken_once(space: Space) -> None:
    space.make(note("a"))
    again = space.post(note("a"))
    assert again.refusal == (409, "AlreadyExists")
    assert again.message == 'secrets "a" already exists'


@pytest.mark.parametrize(
    ("plural", "message"),
    [
        ("secrets", 'secrets "nobody" not found'),
        ("virtualmachines", 'virtualmachines.kubevirt.io "nobody" not found'),
    ],
)
@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
def test_what_is_missing_is_named(space: Space, method: str, plural: str, message: str) -> None:
    body = {} if method == "PATCH" else None
    headers = {"Content-Type": "application/merge-patch+json"} if body is not None else {}
    answer = space.cluster.ask(method, space.path(plural, "nobody"), body, **headers)
    assert answer.refusal == (404, "NotFound")
    assert answer.message == message
    assert answer.document["details"]["name"] == "nobody"


@pytest.mark.parametrize(
    "body",
    [
        note("a") | {"kind": "Service"},
        note("a") | {"apiVersion": "v2"},
        note("a", namespace="elsewhere"),
        "{",
        "[]",
        '"text"',
        "",
    ],
)
def test_a_body_that_is_not_the_object_is_a_bad_request(space: Space, body: Any) -> None:
    assert space.cluster.ask("POST", space.path("secrets"), body).refusal == (400, "BadRequest")


def test_a_body_of_another_name_than_the_paths_is_a_bad_request(space: Space) -> None:
    made = space.make(note("a"))
    made["metadata"]["name"] = "b"
    assert space.cluster.ask("PUT", space.path("secrets", "a"), made).refusal == (400, "BadRequest")


def test_yaml_is_read_as_well_as_json(space: Space) -> None:
    text = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n"
    assert space.cluster.ask("POST", space.path("secrets"), text, **{"Content-Type": "application/yaml"}).code == 201


def test_a_body_of_an_unknown_form_is_refused(space: Space) -> None:
    answer = space.cluster.ask("POST", space.path("secrets"), "x", **{"Content-Type": "text/plain"})
    assert answer.refusal == (415, "UnsupportedMediaType")


def test_an_update_needs_the_newest_version(space: Space) -> None:
    old = space.make(note("a"))
    path = space.path("secrets", "a")
    assert space.cluster.ask("PUT", path, old | {"data": {"x": ""}}).code == 200
    stale = space.cluster.ask("PUT", path, old | {"data": {"y": ""}})
    assert stale.refusal == (409, "Conflict")
    assert "the object has been modified" in stale.message
    assert space.get("secrets", "a").document["data"] == {"x": ""}


def test_an_update_of_a_custom_object_must_name_a_version(space: Space) -> None:
    made = space.make(vm())
    del made["metadata"]["resourceVersion"]
    answer = space.cluster.ask("PUT", space.path("virtualmachines", "web"), made)
    assert answer.refusal == (422, "Invalid")
    assert answer.causes[0][0] == "metadata.resourceVersion"


def test_a_patch_can_demand_a_version(space: Space) -> None:
    space.make(note("a"))
    stale = space.patch("secrets", "a", {"metadata": {"resourceVersion": "1", "labels": {"x": "y"}}})
    assert stale.refusal == (409, "Conflict")


def test_an_update_that_changes_nothing_gives_no_new_version(space: Space) -> None:
    made = space.make(note("a"))
    again = space.cluster.ask("PUT", space.path("secrets", "a"), made).document
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


@pytest.mark.parametrize("field", ["uid", "creationTimestamp"])
def test_what_identifies_an_object_cannot_be_changed(space: Space, field: str) -> None:
    before = space.make(note("a"))["metadata"][field]
    changed = "2001-01-01T00:00:00Z" if field == "creationTimestamp" else "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
    answer = space.patch("secrets", "a", {"metadata": {field: changed}})
    assert answer.code in (200, 409, 422)
    assert space.get("secrets", "a").document["metadata"][field] == before


def test_the_generation_counts_changes_of_the_spec_alone(space: Space) -> None:
    first = space.make(vm())["metadata"]["generation"]
    labelled = space.patch("virtualmachines", "web", {"metadata": {"labels": {"x": "y"}}}).document
    changed = space.patch(
        "virtualmachines", "web", {"spec": {"template": {"metadata": {"labels": {"x": "y"}}}}}
    ).document
    assert [item["metadata"]["generation"] - first for item in (labelled, changed)] == [0, 1]


@pytest.mark.parametrize(
    ("form", "patch", "labels"),
    [
        ("merge", {"metadata": {"labels": {"a": None, "c": "3"}}}, {"b": "2", "c": "3"}),
        ("strategic", {"metadata": {"labels": {"a": None, "c": "3"}}}, {"b": "2", "c": "3"}),
        ("strategic", {"metadata": {"labels": {"$patch": "replace", "c": "3"}}}, {"c": "3"}),
        ("json", [{"op": "replace", "path": "/metadata/labels", "value": {"c": "3"}}], {"c": "3"}),
        ("json", [{"op": "test", "path": "/metadata/labels/a", "value": "1"}], {"a": "1", "b": "2"}),
    ],
)
def test_a_patch_changes_what_it_says(space: Space, form: str, patch: Any, labels: dict[str, str]) -> None:
    space.make(note("a", labels={"a": "1", "b": "2"}))
    answer = space.patch("secrets", "a", patch, form)
    assert (answer.code, answer.document["metadata"]["labels"]) == (200, labels)


def test_a_strategic_patch_merges_lists_by_their_key(space: Space) -> None:
    ports = [{"name": "ssh", "port": 22}, {"name": "web", "port": 80}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}}
    space.make(service | {"spec": {"clusterIP": "None", "selector": {"a": "b"}, "ports": ports}})
    answer = space.patch("services", "s", {"spec": {"ports": [{"port": 80, "targetPort": 8080}]}}, "strategic")
    found = {port["port"]: port["targetPort"] for port in answer.document["spec"]["ports"]}
    assert found == {22: 22, 80: 8080}


@pytest.mark.parametrize("plural", ["virtualmachines", "virtualmachineinstances"])
def test_custom_objects_take_no_strategic_patch(space: Space, plural: str) -> None:
    space.make(vm())
    answer = space.patch(plural, "web", {"metadata": {"labels": {"x": "y"}}}, "strategic")
    assert answer.refusal == (415, "UnsupportedMediaType")
    assert "application/merge-patch+json" in answer.message


@pytest.mark.parametrize(
    ("form", "patch", "code"),
    [
        ("json", [{"op": "test", "path": "/metadata/name", "value": "b"}], 422),
        ("json", [{"op": "remove", "path": "/nothing"}], 422),
        ("json", [{"op": "jump"}], 400),
        ("json", {"op": "add"}, 400),
        ("merge", "{", 400),
    ],
)
def test_a_patch_that_cannot_be_done_changes_nothing(space: Space, form: str, patch: Any, code: int) -> None:
    made = space.make(note("a"))
    answer = space.patch("secrets", "a", patch, form)
    assert answer.refusal[0] in (code, 422)
    assert space.get("secrets", "a").document["metadata"] == made["metadata"]


def test_a_dry_run_answers_and_stores_nothing(space: Space) -> None:
    assert space.post(note("a"), "dryRun=All").code == 201
    assert space.get("secrets", "a").code == 404
    space.make(note("a", labels={"x": "1"}))
    dry = space.patch("secrets", "a", {"metadata": {"labels": {"x": "2"}}}, query="dryRun=All")
    assert dry.document["metadata"]["labels"] == {"x": "2"}
    assert space.delete("secrets", "a", "dryRun=All").code == 200
    assert space.get("secrets", "a").document["metadata"]["labels"] == {"x": "1"}


def test_an_unknown_dry_run_is_refused(space: Space) -> None:
    assert space.post(note("a"), "dryRun=Some").refusal[0] in (400, 422)


@pytest.mark.parametrize(
    ("obj", "field"),
    [
        (note("web") | {"unheard": {}}, "unheard"),
        (vm(hostnam="x"), "spec.template.spec.hostnam"),
        (vm() | {"specc": {}}, "specc"),
    ],
)
def test_an_unknown_field_is_an_error_or_a_warning_as_asked(space: Space, obj: dict, field: str) -> None:
    strict = space.post(obj, "fieldValidation=Strict")
    assert strict.refusal == (400, "BadRequest")
    assert f'unknown field "{field}"' in strict.message
    warned = space.post(obj, "fieldValidation=Warn&dryRun=All")
    assert (warned.code, f'unknown field \\"{field}\\"' in warned.headers["Warning"]) == (201, True)
    assert field.split(".")[-1] not in warned.body.decode()
    ignored = space.post(obj, "fieldValidation=Ignore")
    assert (ignored.code, "Warning" in ignored.headers) == (201, False)


def test_without_a_wish_an_unknown_field_is_a_warning_and_dropped(space: Space) -> None:
    answer = space.post(vm(hostnam="x"))
    assert (answer.code, "Warning" in answer.headers) == (201, True)
    assert "hostnam" not in space.get("virtualmachines", "web").body.decode()


def test_a_field_given_twice_is_an_error_when_strict(space: Space) -> None:
    text = '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a","name":"a"}}'
    answer = space.cluster.ask("POST", space.path("secrets", query="fieldValidation=Strict"), text)
    assert answer.refusal == (400, "BadRequest")
    assert "duplicate field" in answer.message


def test_a_value_of_the_wrong_type_is_a_fault_with_its_field(space: Space) -> None:
    faulty = vm()
    faulty["spec"]["template"]["spec"]["hostname"] = 7
    answer = space.post(faulty)
    assert answer.refusal[0] in (400, 422)
    assert "hostname" in answer.message


def test_a_deleted_object_is_answered_with_its_status(space: Space) -> None:
    uid = space.make(note("a"))["metadata"]["uid"]
    answer = space.delete("secrets", "a")
    assert (answer.code, answer.document["kind"], answer.document["status"]) == (200, "Status", "Success")
    assert answer.document["details"] == {"name": "a", "kind": "secrets", "uid": uid}


@pytest.mark.parametrize("condition", [{"uid": "other"}, {"resourceVersion": "1"}])
def test_a_deletion_can_demand_what_it_deletes(space: Space, condition: dict) -> None:
    space.make(note("a"))
    assert space.delete("secrets", "a", preconditions=condition).refusal == (409, "Conflict")
    assert space.names("secrets") == ["a"]


def test_a_collection_is_deleted_as_selected(space: Space) -> None:
    space.make(note("a", labels={"x": "1"}), note("b", labels={"x": "2"}), note("c", labels={"x": "1"}))
    assert space.delete("secrets", query="labelSelector=x%3D1").code == 200
    assert space.names("secrets") == ["b"]


def test_a_finalizer_holds_an_object_until_it_is_taken_off(space: Space) -> None:
    space.make(note("a", finalizers=["labkit.test/hold"]))
    held = space.delete("secrets", "a").document
    assert "deletionTimestamp" in held["metadata"]
    more = space.patch("secrets", "a", {"metadata": {"finalizers": ["labkit.test/hold", "labkit.test/more"]}})
    assert more.refusal == (422, "Invalid")
    assert space.patch("secrets", "a", {"metadata": {"finalizers": None}}).code == 200
    assert space.get("secrets", "a").code == 404


def owned(name: str, owner: dict, **more: Any) -> dict:
    reference = {"apiVersion": "v1", "kind": "Secret", "name": owner["metadata"]["name"], **more}
    return note(name, ownerReferences=[reference | {"uid": owner["metadata"]["uid"]}])


def test_what_is_owned_goes_after_its_owner(space: Space) -> None:
    space.make(owned("b", space.make(note("a"))))
    space.delete("secrets", "a", propagationPolicy="Background")
    until(lambda: space.names("secrets") == [], 30)


def test_what_is_orphaned_stays_and_has_no_owner(space: Space) -> None:
    space.make(owned("b", space.make(note("a"))))
    space.delete("secrets", "a", propagationPolicy="Orphan")
    until(lambda: space.names("secrets") == ["b"], 30)
    assert not space.get("secrets", "b").document["metadata"].get("ownerReferences")


def test_an_owner_deleted_in_the_foreground_goes_last(space: Space) -> None:
    held = owned("b", space.make(note("a")), blockOwnerDeletion=True)
    held["metadata"]["finalizers"] = ["labkit.test/hold"]
    space.make(held)
    waiting = space.delete("secrets", "a", propagationPolicy="Foreground").document
    assert waiting["metadata"]["finalizers"] == ["foregroundDeletion"]
    until(lambda: "deletionTimestamp" in space.get("secrets", "b").document["metadata"], 30)
    assert space.names("secrets") == ["a", "b"]
    space.patch("secrets", "b", {"metadata": {"finalizers": None}})
    until(lambda: space.names("secrets") == [], 30)


def test_what_has_two_owners_stays_while_one_is_there(space: Space) -> None:
    first, second = space.make(note("a")), space.make(note("b"))
    shared = owned("c", first)
    shared["metadata"]["ownerReferences"] += owned("c", second)["metadata"]["ownerReferences"]
    space.make(shared)
    space.delete("secrets", "a")
    space.make(owned("d", first))
    until(lambda: space.names("secrets") == ["b", "c"], 30)


def test_a_secret_is_base64_and_its_plain_form_is_folded_in(space: Space) -> None:
    made = space.make(note("a") | {"stringData": {"more": "value"}})
    assert made["data"] == {"key": "dmFsdWU=", "more": "dmFsdWU="}
    assert "stringData" not in space.get("secrets", "a").document
    assert space.post(note("b") | {"data": {"k": "not base64!"}}).code in (400, 422)
