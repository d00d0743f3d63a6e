"""Settings: read once, from `LABKIT_*` variables over one TOML file over defaults. Imports nothing of ours.

Every setting is a row of `Settings`; `labkit doctor` lists them. Paths below the state and runtime folders are
properties here, so that no two parts can disagree on them.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

_LONGEST_RUNTIME_DIR = 72


class SettingsError(ValueError):
    """A setting that cannot be used; the text names it and the remedy."""


@dataclass(frozen=True)
class Settings:
    """All that an installation can set. A variable `LABKIT_STATE_DIR` or a TOML key `state_dir` sets `state_dir`."""

    state_dir: Path
    cache_dir: Path
    images_dir: Path
    templates_dir: Path
    runtime_root: Path | None = None
    kubeconfig: Path | None = None
    policy_file: Path | None = None
    accel: str = "auto"
    warm: str = "8:6"
    spares: int = 0
    gateway_port: int = 0
    gateway_streams: int = 64
    gateway_mib_per_second: float = 64.0
    gateway_metrics: bool = False
    gateway_file_mib: int = 1024
    gateway_transfers: int = 4
    panes_origin: str = ""
    idle_minutes: float = 30.0
    start_timeout: float = 600.0
    engine_timeout: float = 30.0
    lease_seconds: float = 15.0
    retention_events: float = 30.0
    retention_labs: float = 365.0
    retention_audit: float = 365.0
    retention_learners: float = 0.0
    retention_copies: float = 30.0
    labs_per_learner: int = 0
    most_labs: int = 0
    most_memory_mib: int = 0
    lab_hours: float = 0.0
    lab_idle_minutes: float = 0.0
    most_lab_hours: float = 0.0
    image_registry: str = ""
    kubevirt_namespace: str = "kubevirt"
    gateway_namespace: str = ""
    closed_networks: str = ""
    url: str = ""
    public_url: str = ""
    web_workers: int = 2
    web_threads: int = 16
    api_per_minute: int = 1200
    hub_api_url: str = ""
    hub_service: str = "labkit"
    launch_hours: float = 12.0
    launch_leeway: float = 60.0
    private_platforms: bool = False
    private_repositories: bool = False

    @property
    def runtime_dir(self) -> Path:
        """Where sockets live: one folder for each state folder, whoever asks (a login, a Hub, a timer).

        A unix socket's path holds 108 bytes: below a long state folder, sockets go to the temporary folder instead.
        """
        if self.runtime_root is None and len(str(self.state_dir / "run")) <= _LONGEST_RUNTIME_DIR:
            return self.state_dir / "run"
        root = self.runtime_root or Path(tempfile.gettempdir()) / f"labkit-{os.getuid()}"
        return root / hashlib.sha256(str(self.state_dir).encode()).hexdigest()[:8]

    @property
    def database(self) -> Path:
        return self.state_dir / "labkit.db"

    @property
    def keys_dir(self) -> Path:
        return self.state_dir / "keys"

    @property
    def ticket_keys(self) -> Path:
        """The public halves (a JSON Web Key Set) with which the gateway verifies tickets."""
        return self.keys_dir / "tickets.jwks.json"

    @property
    def result_keys(self) -> Path:
        """The public halves with which anybody can verify exported results."""
        return self.keys_dir / "results.jwks.json"

    @property
    def terminal_key(self) -> Path:
        """The key from which each machine's terminal secret is derived; read by controller and gateway."""
        return self.keys_dir / "terminal.key"

    @property
    def engine_kubeconfig(self) -> Path:
        return self.state_dir / "engine" / "kubeconfig"

    @property
    def engine_endpoint(self) -> Path:
        """A JSON file that the running engine writes: {"port": N}."""
        return self.state_dir / "engine" / "endpoint.json"

    @property
    def activity_file(self) -> Path:
        """A JSON file in which the gateway reports when a lab's panes were last used: {lab: time}."""
        return self.state_dir / "activity.json"

    @property
    def embedders_file(self) -> Path:
        """A JSON list of the origins of learning platforms, whose pages may hold labkit's in frames."""
        return self.state_dir / "embedders.json"

    @property
    def farewell_lock(self) -> Path:
        """Held while what ran for a Jupyter server that has ended is ended: who would start anything waits for it."""
        return self.state_dir / "farewell.lock"

    @property
    def logs_dir(self) -> Path:
        return self.state_dir / "logs"

    @property
    def supervisor_socket(self) -> Path:
        return self.runtime_dir / "supervisor.sock"

    @property
    def gateway_socket(self) -> Path:
        return self.runtime_dir / "gateway.sock"

    @property
    def gateway_endpoint(self) -> Path:
        """A JSON file that the running gateway writes: {"port": N}."""
        return self.state_dir / "gateway.json"

    @property
    def web_socket(self) -> Path:
        """Where the web application listens, behind the gateway."""
        return self.runtime_dir / "web.sock"

    def environment(self) -> dict[str, str]:
        """These settings as variables, so that a process started with them has the same."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {f"LABKIT_{name.upper()}": str(value) for name, value in values.items() if value is not None}


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process's surroundings.

    Raises SettingsError for a file that cannot be read, an unknown key, or a value of the wrong kind.
    """
    env = os.environ if environ is None else environ
    given: dict[str, object] = dict(_from_file(env))
    for field in fields(Settings):
        value = env.get(f"LABKIT_{field.name.upper()}")
        if value:
            given[field.name] = value
    defaults = _defaults(env, given.get("state_dir"))
    return Settings(**{**defaults, **{name: _convert(name, value) for name, value in given.items()}})  # type: ignore[arg-type]


def _from_file(env: Mapping[str, str]) -> dict[str, object]:
    named = env.get("LABKIT_CONFIG")
    path = Path(named) if named else _home(env, "XDG_CONFIG_HOME", ".config") / "labkit" / "config.toml"
    if not named and not path.exists():
        return {}
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read as TOML: {error}") from error
    known = {field.name for field in fields(Settings)}
    unknown = sorted(set(table) - known)
    if unknown:
        raise SettingsError(f"{path}: unknown setting {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    return table


def _defaults(env: Mapping[str, str], state: object) -> dict[str, object]:
    state_dir = Path(str(state)).expanduser() if state else _home(env, "XDG_STATE_HOME", ".local/state") / "labkit"
    return {
        "state_dir": state_dir,
        "cache_dir": _home(env, "XDG_CACHE_HOME", ".cache") / "labkit",
        "images_dir": state_dir / "images",
        "templates_dir": state_dir / "templates",
        "policy_file": _home(env, "XDG_CONFIG_HOME", ".config") / "labkit" / "policy.yaml",
    }


def _home(env: Mapping[str, str], variable: str, below: str) -> Path:
    return Path(env[variable]) if env.get(variable) else Path(env.get("HOME") or Path.home()) / below


def _convert(name: str, value: object) -> object:
    kind = next(field.type for field in fields(Settings) if field.name == name)
    try:
        if "Path" in str(kind):
            return Path(str(value)).expanduser().absolute()
        if kind == "int":
            return int(str(value))
        if kind == "bool":
            return {"true": True, "1": True, "false": False, "0": False}[str(value).lower()]
        if kind == "float":
            return float(str(value))
    except KeyError:
        raise SettingsError(f"setting {name}: {value!r} is neither true nor false") from None
    except ValueError:
        raise SettingsError(f"setting {name}: {value!r} is not a number") from None
    return str(value)
