"""What is drawn at random for a lab (passwords, the check key, host keys), and how it lies in the lab's Secret."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from labkit.errors import Conflict
from labkit.manifests import names
from labkit.manifests.login import learner_key, new_key, public_line
from labkit.manifests.userdata import MachineAccess
from labkit.model import Credential, Login
from labkit.templates import Machine, Template

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # without what looks alike, and typed alike on most keyboards
_CHECK_KEY = "check-key"


def draw(template: Template) -> dict[str, str]:
    """New random values for a lab of `template`, by the key each has in the lab's Secret."""
    drawn = {_CHECK_KEY: new_key()}
    for machine in template.machines:
        drawn[f"host-key.{machine.name}"] = new_key()
        for user in machine.users:
            password = _password() if user.password_generate else user.password
            if password is not None:
                drawn[f"password.{machine.name}.{user.name}"] = password
            if user.key_generate:
                drawn[f"key.{machine.name}.{user.name}"] = new_key()
    return drawn


@dataclass(frozen=True)
class Access:
    """A lab's drawn values, as read from its Secret."""

    lab: str
    values: Mapping[str, str]

    @classmethod
    def from_secret(cls, lab: str, secret: Mapping[str, Mapping[str, str]] | None) -> Access:
        """Raises Conflict where the lab has no such Secret (yet, or any more)."""
        if secret is None:
            raise Conflict(f"lab {lab} has no machines at the moment")
        return cls(lab, {key: base64.b64decode(value).decode() for key, value in secret.get("data", {}).items()})

    @property
    def check_key(self) -> str:
        """The private key with which labkit signs in to a lab's machines (OpenSSH)."""
        return self.values[_CHECK_KEY]

    def host_key(self, machine: str) -> str:
        """The machine's own private SSH host key (OpenSSH)."""
        return self.values[f"host-key.{machine}"]

    def root_login(self, machine: str) -> Login:
        """How labkit signs in to a VM as root: with the key that neither learner nor gateway holds."""
        return Login("root", self.check_key, public_line(self.host_key(machine)))

    def learner_login(self, machine: Machine, terminal_key: bytes) -> Login:
        """The learner's own sign-in to a VM. Raises Conflict where it has no account for him."""
        if not machine.users:
            raise Conflict(f"machine {machine.name} has no account for a learner: add `users:` to it in the template")
        key = learner_key(terminal_key, self.lab)
        return Login(machine.users[0].name, key, public_line(self.host_key(machine.name)))

    def machine(self, machine: Machine, terminal_key: bytes) -> MachineAccess:
        """What goes into one machine's user data."""
        return MachineAccess(
            passwords=self._of_users("password", machine),
            keys={user: public_line(key) for user, key in self._of_users("key", machine).items()},
            check_key=public_line(self.check_key),
            host_key=self.host_key(machine.name),
            terminal_secret=names.terminal_secret(terminal_key, self.lab, machine.name),
            learner_key=public_line(learner_key(terminal_key, self.lab)),
            host_public=public_line(self.host_key(machine.name)),
        )

    def credentials(self, template: Template) -> list[Credential]:
        """The sign-ins that the learner is shown."""
        found = []
        for machine in template.machines:
            passwords, keys = (self._of_users(what, machine) for what in ("password", "key"))
            for user in (user.name for user in machine.users if user.name in {**passwords, **keys}):
                found.append(Credential(machine.name, user, passwords.get(user, ""), keys.get(user, "")))
        return found

    def _of_users(self, what: str, machine: Machine) -> dict[str, str]:
        """What was drawn for the machine's users, by their names."""
        keys = {user.name: f"{what}.{machine.name}.{user.name}" for user in machine.users}
        return {user: self.values[key] for user, key in keys.items() if key in self.values}


def _password() -> str:
    """Three groups of four, about 59 bits: to be read from a page and typed into a console."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(3))
