"""Single files of secrets and config maps in a pod, and what else of `subPath` is refused."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.local.api.kinds import Admission
from labkit.local.api.status import ApiError
from labkit.local.pods.spec import admit_pod

SECRET, EMPTY = {"name": "v", "secret": {"secretName": "s"}}, {"name": "v", "emptyDir": {}}


def admitted(volume: dict[str, Any], part: str, **security: Any) -> None:
    """Ask for a pod that mounts a part of a volume."""
    mount = {"name": "v", "mountPath": "/etc/motd", "subPath": part}
    container = {"name": "main", "image": "a", "volumeMounts": [mount], "securityContext": security}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [container], "volumes": [volume]},
    }
    admit_pod(Admission(pod, None, lambda *_: None))


def test_one_file_of_a_secret_can_be_mounted() -> None:
    admitted(SECRET, "motd", seccompProfile={"type": "RuntimeDefault"})


@pytest.mark.parametrize(("volume", "part"), [(SECRET, "../x"), (SECRET, "a/b"), (SECRET, ".x"), (EMPTY, "motd")])
def test_nothing_can_be_mounted_that_could_be_a_link_to_elsewhere(volume: dict[str, Any], part: str) -> None:
    with pytest.raises(ApiError, match=r"subPath.* must be the name of one file of a secret"):
        admitted(volume, part)


def test_no_other_seccomp_profile_than_the_one_that_holds_is_accepted() -> None:
    with pytest.raises(ApiError, match=r"Unconfined.*the embedded engine has RuntimeDefault only"):
        admitted(SECRET, "motd", seccompProfile={"type": "Unconfined"})
