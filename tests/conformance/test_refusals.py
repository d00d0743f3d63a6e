"""What a machine that does not run yet answers to those who want its screen, its console, its ports or its guest."""

from __future__ import annotations

import json

import pytest
from websockets.exceptions import InvalidStatus

from tests.conformance.conftest import Space, vm, vmi
from tests.support.cluster import PROTOCOL, SUBRESOURCES
from tests.support.engine import until
from tests.support.streams import refusal


@pytest.fixture
def waiting(space: Space) -> Space:
    """A namespace with the machine ``web``, which exists and cannot run: its image is nowhere."""
    space.make(vm(strategy="Always"))
    until(
        lambda: space.get("virtualmachineinstances", "web").document.get("status", {}).get("phase") == "Scheduling", 30
    )
    return space


@pytest.mark.parametrize("subresource", ["vnc", "vnc?preserveSession=true", "console"])
def test_streams_answer_400_so_that_virtctl_tries_again(waiting: Space, subresource: str) -> None:
    assert refusal(waiting.cluster.stream, waiting.name, "web", subresource) == (400, "VMI is not running")


@pytest.mark.parametrize("subresource", ["vnc", "console", "portforward/22", "portforward/22/tcp"])
def test_streams_into_nothing_are_not_found(space: Space, subresource: str) -> None:
    code, message = refusal(space.cluster.stream, space.name, "nobody", subresource)
    assert (code, '"nobody" not found' in message) == (404, True)


@pytest.mark.parametrize(
    ("devices", "subresource", "message"),
    [
        ({"autoattachGraphicsDevice": False}, "vnc", "No graphics devices are present."),
        ({"autoattachSerialConsole": False}, "console", "No serial consoles are present."),
    ],
)
def test_a_stream_that_the_machine_does_not_have_is_refused(
    space: Space, devices: dict, subresource: str, message: str
) -> None:
    without = vmi()
    without["spec"]["domain"]["devices"] |= devices
    space.make(without)
    assert refusal(space.cluster.stream, space.name, "web", subresource) == (400, message)


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        ("pause", "VM is not running"),
        ("unpause", "VMI is not running"),
        ("softreboot", "VM is not running"),
    ],
)
def test_what_needs_a_running_machine_is_a_conflict(waiting: Space, verb: str, message: str) -> None:
    answer = waiting.do(verb, plural="virtualmachineinstances")
    assert answer.refusal == (409, "Conflict")
    assert answer.message == f'Operation cannot be fulfilled on virtualmachineinstance.kubevirt.io "web": {message}'


def test_a_reset_fails(waiting: Space) -> None:
    assert waiting.do("reset", plural="virtualmachineinstances").code in (400, 500)


@pytest.mark.parametrize("verb", ["pause", "unpause", "softreboot", "reset"])
def test_what_is_not_there_is_not_found(space: Space, verb: str) -> None:
    assert space.do(verb, "nobody", "virtualmachineinstances").refusal == (404, "NotFound")


@pytest.mark.parametrize("what", ["vnc/screenshot", "guestosinfo", "userlist", "filesystemlist"])
def test_what_the_guest_would_tell_is_a_plain_500(waiting: Space, what: str) -> None:
    answer = waiting.see(what)
    assert answer.code == 500
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(answer.body)
    assert answer.body


def test_a_machine_that_is_off_has_no_ports(space: Space) -> None:
    space.make(vm())
    path = f"{SUBRESOURCES}/namespaces/{space.name}/virtualmachines/web/portforward/22"
    with pytest.raises(InvalidStatus) as refused:
        space.cluster.open(path, subprotocols=[PROTOCOL])
    response = refused.value.response
    assert (response.status_code, "VMI is not started" in str(response.body)) == (409, True)


@pytest.mark.parametrize(
    ("plural", "what"), [("virtualmachineinstances", "nothing"), ("virtualmachines", "nothing"), ("nothings", "start")]
)
def test_an_unknown_subresource_is_not_found(waiting: Space, plural: str, what: str) -> None:
    assert waiting.do(what, plural=plural).code == 404
    assert waiting.see(what, plural=plural).code == 404


@pytest.mark.parametrize(("version"), ["v1", "v1alpha3"])
def test_both_versions_of_the_subresources_answer_alike(waiting: Space, version: str) -> None:
    path = f"/apis/subresources.kubevirt.io/{version}/namespaces/{waiting.name}/virtualmachineinstances/web/pause"
    assert waiting.cluster.ask("PUT", path).refusal == (409, "Conflict")


def test_a_missing_image_shows_in_the_machines_status(waiting: Space) -> None:
    shown = {"ErrImagePull", "ImagePullBackOff", "Starting", "Provisioning"}
    assert waiting.get("virtualmachines", "web").document["status"]["printableStatus"] in shown
    until(lambda: "Err" in waiting.kubectl("get", "vm", "web") or "BackOff" in waiting.kubectl("get", "vm", "web"), 60)


def test_what_is_shown_of_a_machine_can_be_expanded(space: Space) -> None:
    space.make(vm())
    answer = space.see("expand-spec", plural="virtualmachines")
    assert (answer.code, answer.document["kind"]) == (200, "VirtualMachine")
