"""What a lab may use at most."""

from labkit.manifests.quota import Share, limit_range, quota
from tests.manifests.objects import SCOPE, meta

GIB = 1 << 30


def test_a_quota_counts_guests_launchers_containers_and_room_for_disks() -> None:
    shares = [Share(True, 2, GIB), Share(False, 0.5, GIB // 4)]
    assert quota(SCOPE, shares, [10 * GIB]) == {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": meta("labkit"),
        "spec": {
            "hard": {
                "pods": "6",
                "count/virtualmachines.kubevirt.io": "1",
                "count/virtualmachineinstances.kubevirt.io": "1",
                "persistentvolumeclaims": "3",
                "requests.storage": "30720Mi",
                "requests.cpu": "3600m",
                "requests.memory": f"{1024 + 1024 + 400 + 2 * 8 + 2 + 256}Mi",
            }
        },
    }


def test_where_an_instancetype_or_a_clone_gives_the_size_objects_are_counted_only() -> None:
    hard = quota(SCOPE, [Share(True, None, None)], [None])["spec"]["hard"]
    assert hard == {
        "pods": "4",
        "count/virtualmachines.kubevirt.io": "1",
        "count/virtualmachineinstances.kubevirt.io": "1",
        "persistentvolumeclaims": "3",
    }


def test_what_a_container_asks_for_is_filled_in_and_no_limit_is_laid_on_anything() -> None:
    assert limit_range(SCOPE) == {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": meta("labkit"),
        "spec": {"limits": [{"type": "Container", "defaultRequest": {"cpu": "50m", "memory": "64Mi"}}]},
    }
