"""The policy where a lab is about to be made: every refusal in one sentence, caps over what runs, versions kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from labkit.errors import Forbidden, Invalid
from labkit.manifests.lab import LabPlan, lab_objects
from labkit.manifests.site import Site
from labkit.manifests.userdata import MachineAccess
from labkit.model import Principal
from labkit.orchestrator.permission import permit, permit_room
from labkit.orchestrator.template_source import TemplateSource
from labkit.store import LabRow, SqliteStore
from labkit.templates import Template, declared

HEAD = "apiVersion: labkit/v1\nkind: Policy\n"


def made(template: Template, site: Site) -> list[dict[str, object]]:
    access = {machine.name: MachineAccess({}, "key", "host", "secret", "key", "host") for machine in template.machines}
    known = declared(template, learner="Ada", lab="a1", seed="s")
    return lab_objects(LabPlan("i", "a123456789", template, access, site=site, variables=known))


@pytest.mark.parametrize("name", ["hello-lab", "two-machines", "broken-service"])
@pytest.mark.parametrize("registry", ["localhost/labkit", "registry.example.org/labkit"])
def test_bundled_labs_are_allowed_wherever_their_images_come_from(tmp_path: Path, name: str, registry: str) -> None:
    template, site = TemplateSource(tmp_path).load(name), Site(registry=registry)
    permit(None, template, made(template, site), site)


def test_a_refused_lab_is_told_every_reason_with_its_rule(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(f"{HEAD}images: []\negress: [internet]\n")
    template = TemplateSource(tmp_path).load("hello-lab")
    with pytest.raises(Forbidden, match=r"egress none: .* 'egress' of .*; VirtualMachine box: image .* 'images' of .*"):
        permit(tmp_path / "policy.yaml", template, made(template, Site()), Site())


def test_a_policy_file_with_faults_allows_nothing(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(f"{HEAD}image: []\n")
    template = TemplateSource(tmp_path).load("hello-lab")
    with pytest.raises(Invalid, match=r"policy\.yaml:3: unknown key 'image'; did you mean 'images'\?"):
        permit(tmp_path / "policy.yaml", template, made(template, Site()), Site())


def row(lab: str, learner: str, created: float) -> LabRow:
    """A lab of hello-lab."""
    with_defaults = LabRow(lab, "w", learner, "Ada", "hello-lab", "d", "running", created, None, None, False, "")
    return replace(with_defaults, seed="s")


def test_of_labs_that_ask_at_once_those_that_came_first_have_the_room(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(f"{HEAD}learner: {{labs: 2}}\ntotal: {{memory: 1Gi}}\n")
    labs = [row(f"l{n}", "ada" if n < 3 else "bob", float(n)) for n in range(5)]
    known = TemplateSource(tmp_path)
    refused = []
    for lab in labs:
        try:
            permit_room(tmp_path / "policy.yaml", known.load("hello-lab"), lab, labs, known)
        except Forbidden as error:
            refused.append((lab.id, str(error).partition(":")[0]))
    assert refused == [("l2", "this learner's labs"), ("l4", "all labs")]


def test_a_lab_keeps_the_version_that_it_was_started_with(tmp_path: Path) -> None:
    known, store = TemplateSource(tmp_path / "templates"), SqliteStore(tmp_path / "labkit.db")
    first = known.check("hello-lab")
    work = store.work(store.learner(Principal("local", "ada")), "hello-lab", "hello-lab")
    own = tmp_path / "templates/hello-lab"
    own.mkdir()
    (own / "lab.yaml").write_text((first.folder / "lab.yaml").read_text().replace("Hello, machine", "Changed"))
    (own / "instructions").mkdir()
    (own / "instructions/1.md").write_text("# Page\n\n## Note {#note}\n")
    second = known.check("hello-lab")
    assert (known.load("hello-lab").title, second.title) == ("Changed", "Changed")
    assert known.load("hello-lab", first.digest) == replace(first, folder=known.load("hello-lab", first.digest).folder)
    store.tick(work.id, "note", True)
    again = store.work(work.learner, "hello-lab", "hello-lab")
    assert (again.id, store.progress(again.id).ticks) == (work.id, {"note"})
    store.close()
