"""The operator's policy: closed where it says nothing, judged on finished objects, each refusal with its rule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import Invalid
from labkit.policy import Cap, Policy, crowded, load, refusals, size_of
from labkit.policy import rules as tables
from labkit.templates import Disk, Image, Lifetime, Machine, Network, Template

MIB, GIB = 1 << 20, 1 << 30
TINY = "localhost/labkit/tiny:latest"


def template(**changes: Any) -> Template:
    box = Machine("box", "vm", Image("bundled", "tiny"), 1, 256 * MIB)
    values = {"machines": (box,), "network": Network(), **changes}
    return Template("lab", "", "", None, (), lifetime=Lifetime(), variables={}, folder=Path(), digest="", **values)


def vm(**spec: Any) -> dict[str, Any]:
    inner = {
        "domain": {"cpu": {"cores": 1}, "memory": {"guest": "256Mi"}, **spec.pop("domain", {})},
        "volumes": [{"name": "root", "containerDisk": {"image": TINY}}, *spec.pop("volumes", [])],
        "networks": [{"name": "default", "pod": {}}, *spec.pop("networks", [])],
    }
    metadata = {"name": "box"}
    return {"kind": "VirtualMachine", "metadata": metadata, "spec": {"template": {"spec": inner}, **spec}}


def pod(image: str = TINY, limits: dict[str, str] | None = None, **changes: Any) -> dict[str, Any]:
    limits = {"cpu": "500m", "memory": "64Mi"} if limits is None else limits
    spec = {"containers": [{"name": "main", "image": image, "resources": {"limits": limits}}], **changes}
    return {"kind": "Pod", "metadata": {"name": "web"}, "spec": spec}


def volume(size: str = "1Gi", storage_class: str | None = None, **source: Any) -> dict[str, Any]:
    storage = {"resources": {"requests": {"storage": size}}, "storageClassName": storage_class}
    return {"kind": "DataVolume", "metadata": {"name": "data"}, "spec": {"source": source, "storage": storage}}


def judged(*objects: dict[str, Any], policy: Policy | None = None, **changes: Any) -> list[str]:
    """The refusals without their common end: the rule in front."""
    found = refusals(policy or Policy(), template(**changes), objects, bundled={TINY})
    parts = [text.partition(": not allowed by the rule ") for text in found]
    assert all(end.endswith("of labkit's own policy") for _, _, end in parts)
    return [f"{end.split(chr(39))[1]}: {text}" for text, _, end in parts]


def test_labkits_own_images_on_a_closed_network_are_allowed_by_a_policy_that_says_nothing() -> None:
    assert judged(vm(), pod(), {"kind": "Secret", "metadata": {"name": "s"}}) == []


MULTUS = {"networks": [{"name": "dmz", "multus": {"networkName": "nets/dmz"}}]}
LISTED = '[{"namespace": "nets", "name": "dmz"}]'


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (pod("quay.io/labs/web:1"), "images: Pod web: image quay.io/labs/web:1"),
        (
            vm(domain={"firmware": {"kernelBoot": {"container": {"image": "quay.io/k"}}}}),
            "images: VirtualMachine box: image quay.io/k",
        ),
        (
            pod(initContainers=[{"name": "i", "image": "quay.io/i", "resources": {"limits": {"cpu": 1, "memory": 1}}}]),
            "images: Pod web: image quay.io/i",
        ),
        (
            vm(volumes=[{"name": "h", "hostDisk": {"path": "/"}}]),
            "volumes: VirtualMachine box: a volume of the kind hostDisk",
        ),
        (pod(volumes=[{"name": "h", "hostPath": {"path": "/"}}]), "volumes: Pod web: a volume of the kind hostPath"),
        (vm(instancetype={"name": "u1.huge"}), "instancetypes: VirtualMachine box: instancetype u1.huge"),
        (vm(**MULTUS), "networks: VirtualMachine box: network nets/dmz"),
        (vm(domain={"cpu": {"cores": 4, "threads": 2}}), "machine: VirtualMachine box: cpu: 8 asked for, 4 at most"),
        (
            vm(domain={"resources": {"requests": {"memory": "9Gi"}}}),
            "machine: VirtualMachine box: memory: 9216Mi asked for, 8192Mi at most",
        ),
        (pod(limits={"cpu": "1"}), "machine: Pod web: memory: infMi asked for, 8192Mi at most"),
        (
            vm(volumes=[{"name": "e", "emptyDisk": {"capacity": "30Gi"}}]),
            "machine: VirtualMachine box: disk: 30720Mi asked for, 20480Mi at most",
        ),
        (volume(http={"url": "https://x.org/a"}), "dataVolumes: DataVolume data: a disk from https://x.org/a"),
        (volume(pvc={"namespace": "a", "name": "b"}), "dataVolumes: DataVolume data: a disk from pvc:a/b"),
        (volume(imageio={"url": "https://x.org/a"}), "dataVolumes: DataVolume data: a disk from imageio"),
        (volume(storage_class="fast", blank={}), "storageClasses: DataVolume data: storage class fast"),
        ({"kind": "Job", "metadata": {"name": "j"}}, "kinds: Job j: labs are not made of such objects"),
    ],
)
def test_what_an_object_wants_beyond_the_policy_is_refused_by_the_rule_that_is_about_it(
    body: dict[str, Any], refusal: str
) -> None:
    assert refusal in judged(body)


def test_a_disk_may_be_filled_from_labkits_own_images_where_they_are_allowed() -> None:
    body = volume(registry={"url": f"docker://{TINY}"})
    assert judged(body) == []
    assert judged(body, policy=replace(Policy(), images=())) == [f"dataVolumes: DataVolume data: a disk from {TINY}"]


def test_further_networks_of_a_pod_are_judged_in_both_ways_of_writing_them() -> None:
    for text in (LISTED, "nets/dmz@eth1"):
        body = pod()
        body["metadata"]["annotations"] = {"k8s.v1.cni.cncf.io/networks": text}
        assert judged(body) == ["networks: Pod web: network nets/dmz"]
        assert judged(body, policy=replace(Policy(), networks=("nets/*",))) == []


def test_a_pattern_allows_what_it_covers_and_nothing_that_climbs_out_of_it() -> None:
    policy = replace(Policy(), images=("quay.io/labs/*",), sources=("https://x.org/labs/*", "pvc:golden/*"))
    allowed = (pod("quay.io/labs/web:1"), volume(http={"url": "https://x.org/labs/a.qcow2"}))
    assert judged(*allowed, volume(pvc={"namespace": "golden", "name": "d"}), policy=policy) == []
    for url in ("https://x.org/labs/../secret", "https://x.org/labs/%2e%2E/secret", "https://x.org.evil.org/labs/a"):
        assert judged(volume(http={"url": url}), policy=policy) == [f"dataVolumes: DataVolume data: a disk from {url}"]
    assert judged(vm(), policy=policy) == [f"images: VirtualMachine box: image {TINY}"]


def test_egress_is_judged_by_word_and_networks_by_what_they_lie_in() -> None:
    policy = replace(Policy(), egress=("none", "192.0.2.0/24"))
    assert judged(vm(), policy=policy, network=Network("cidrs", ("192.0.2.128/25",))) == []
    assert judged(vm(), policy=policy, network=Network("cidrs", ("192.0.0.0/16", "2001:db8::/32"))) == [
        "egress: egress 192.0.0.0/16",
        "egress: egress 2001:db8::/32",
    ]
    assert judged(vm(), policy=policy, network=Network("internet")) == ["egress: egress internet"]


def test_overrides_are_judged_field_by_field_and_an_allowed_path_covers_what_is_below() -> None:
    over = {
        "domain": {"clock": {"timezone": "Europe/Berlin"}, "devices": {"gpus": [{"name": "g", "deviceName": "x/y"}]}}
    }
    machine = replace(template().machines[0], overrides={**over, "domainX": 1})
    clock = "overrides: machine box: overrides of domain.clock.timezone"
    gpus = "overrides: machine box: overrides of domain.devices.gpus.deviceName"
    other = "overrides: machine box: overrides of domainX"
    assert judged(machines=(machine,)) == [clock, gpus, other]
    assert judged(machines=(machine,), policy=replace(Policy(), overrides=("domain.clock",))) == [gpus, other]
    assert judged(machines=(machine,), policy=replace(Policy(), overrides=("domain",))) == [other]
    assert judged(machines=(machine,), policy=replace(Policy(), overrides=("*",))) == []


def test_an_instancetype_counts_with_the_size_that_the_policy_gives_it() -> None:
    policy = replace(Policy(), instancetypes={"u1.big": Cap(cpu=6, memory=4 * GIB)})
    body = vm(instancetype={"name": "u1.big"}, domain={"cpu": {}, "memory": {}})
    assert judged(body, policy=policy) == ["machine: VirtualMachine box: cpu: 6 asked for, 4 at most"]


def test_machines_that_are_small_each_may_be_too_many_for_a_lab() -> None:
    assert judged(*[vm()] * 9) == [
        "lab: the lab: machines: 9 asked for, 8 at most",
        "lab: the lab: cpu: 9 asked for, 8 at most",
    ]


def test_a_learners_labs_and_all_labs_are_counted_together() -> None:
    machines = (replace(template().machines[0], disks=(Disk("d", "empty", size_bytes=GIB),)),)
    one = size_of(Policy(), template(machines=machines))
    assert one == Cap(1, 1, 1, 256 * MIB, GIB)
    policy = replace(Policy(), learner=Cap(labs=2), total=Cap(memory=GIB), name="policy.yaml")
    assert crowded(policy, one, [one], [one] * 3) == []
    assert crowded(policy, one, [one, one], [one] * 4) == [
        "this learner's labs: labs: 3 asked for, 2 at most: not allowed by the rule 'learner' of policy.yaml",
        "all labs: memory: 1280Mi asked for, 1024Mi at most: not allowed by the rule 'total' of policy.yaml",
    ]


def test_a_policy_file_changes_the_rules_that_it_names_and_leaves_the_others_closed(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(
        "apiVersion: labkit/v1\nkind: Policy\nimages: [bundled, 'quay.io/labs/*']\nmachine: {cpu: 2, memory: 2Gi}\n"
        "dataVolumes: ['pvc:golden/*']\ntotal: {cpu: 200, memory: 2000Gi}\n"
    )
    assert load(path) == Policy(
        images=("bundled", "quay.io/labs/*"),
        machine=Cap(cpu=2, memory=2 * GIB),
        total=Cap(cpu=200, memory=2000 * GIB),
        sources=("pvc:golden/*",),
        name=str(path),
    )
    assert load(tmp_path / "none") == load(None) == Policy()


def test_a_policy_file_with_faults_is_no_policy_and_every_fault_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("apiVersion: labkit/v1\nkind: Policy\nimages: ['quay.io*']\negres: [none]\noverrides: [a..b]\n")
    with pytest.raises(Invalid) as caught:
        load(path)
    assert str(caught.value).splitlines() == [
        f"{path}:3: images: 'quay.io*' is no pattern; write '*' alone, or the host whole, for example quay.io/labs/*",
        f"{path}:4: unknown key 'egres'; did you mean 'egress'?",
        f"{path}:5: overrides: 'a..b' is no path of fields; write for example domain.clock or nodeSelector",
    ]


def test_every_rule_of_the_policy_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/policy.md").read_text()
    assert [row.key for row in tables.POLICY if f"| `{row.key}` | {row.help} |" not in page] == []
