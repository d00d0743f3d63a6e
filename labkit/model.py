"""The values that every part speaks of. Imports nothing of ours, does nothing.

Times are UTC seconds since the epoch (float); `None` means "not yet" or "not known".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Role(StrEnum):
    """What a principal may do: a learner with his own labs, an operator with all."""

    LEARNER = "learner"
    OPERATOR = "operator"


@dataclass(frozen=True)
class Principal:
    """Who asks. `realm` and `subject` name one identity: a local user, a Hub name, an LTI issuer+client+sub."""

    realm: str
    subject: str
    name: str = ""
    role: Role = Role.LEARNER


@dataclass(frozen=True)
class Offer:
    """A template that can be started by its name, as it is told to who may choose one."""

    name: str
    title: str
    description: str = ""
    minutes: int | None = None
    tags: tuple[str, ...] = ()


class PaneType(StrEnum):
    """The ways into a machine: terminal (a server in it), serial line, screen, a shell in a container, a web page."""

    TERMINAL = "terminal"
    CONSOLE = "console"
    VNC = "vnc"
    EXEC = "exec"
    HTTP = "http"


@dataclass(frozen=True)
class Pane:
    """A way into a machine. `port` is the guest's TCP port where the type needs one (terminal: ttyd's; http: the
    server's), `path` the page that an http pane opens first."""

    name: str
    type: PaneType
    title: str
    port: int | None = None
    path: str = ""


class MachineState(StrEnum):
    """A machine as a learner is told of it."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class MachineStatus:
    """One machine of a lab. Where something is wrong, `detail` says so to the learner in one sentence, and `cause` to
    the operator in the engine's own words; else both are empty. `type` is vm or container, empty where nobody said."""

    name: str
    state: MachineState
    panes: tuple[Pane, ...] = ()
    address: str = ""
    detail: str = ""
    start_mode: str = ""
    acceleration: str = ""
    cause: str = ""
    type: str = ""


class LabState(StrEnum):
    """A lab as the store wants it and the cluster has it, told in one word. Queued: it waits for room."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    LOST = "lost"


@dataclass(frozen=True)
class Credential:
    """A sign-in that is shown to the learner beside the lab: a password, a private SSH key (OpenSSH), or both."""

    machine: str
    user: str
    password: str = ""
    key: str = ""


@dataclass(frozen=True)
class LabStatus:
    """One lab: its row and what the cluster says. `id` is also the pane paths' first part.

    `detail` is one sentence for the learner, `cause` what only an operator is told of a fault (else empty).
    `ends` is when it will be ended without being asked, as things are; `place` (from 1) and `wait` (seconds until it is
    likely to be ready) are of a lab that waits for room or starts.
    """

    id: str
    template: str
    title: str
    state: LabState
    created: float
    work: str
    learner: str
    machines: tuple[MachineStatus, ...] = ()
    ended: float | None = None
    operation: str | None = None
    detail: str = ""
    cause: str = ""
    ends: float | None = None
    place: int | None = None
    wait: float | None = None


class OperationKind(StrEnum):
    """Long work that a worker does; and, so that every face can draw them, two things that are done as they are
    written: a later end (extend), and a word from the controller (notice)."""

    START = "start"
    STOP = "stop"
    PAUSE = "pause"
    RESUME = "resume"
    RESET = "reset"
    SNAPSHOT = "snapshot"
    RESTORE = "restore"
    CHECK = "check"
    SOLVE = "solve"
    COLLECT = "collect"
    UPLOAD = "upload"
    EXTEND = "extend"
    NOTICE = "notice"


class OperationState(StrEnum):
    """Where an operation is. The last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in (OperationState.DONE, OperationState.FAILED, OperationState.CANCELLED)


@dataclass(frozen=True)
class Operation:
    """One piece of long work on a lab. `result` is what it found (a check's verdict), `error` one sentence."""

    id: str
    kind: OperationKind
    lab: str
    state: OperationState
    created: float
    arguments: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] | None = None
    error: str = ""


@dataclass(frozen=True)
class Event:
    """One thing that happened in an operation, in order of `seq` (a cursor: ask for what came after it).

    `stage` is a stable word for programs, `text` a sentence for people, `progress` 0..1 of the operation.
    """

    seq: int
    operation: str
    time: float
    stage: str
    text: str
    progress: float


class Verdict(StrEnum):
    """What a check said."""

    PASSED = "passed"
    NOT_YET = "not_yet"
    ERROR = "error"


@dataclass(frozen=True)
class CheckResult:
    """The last word on a step. `feedback` is text from the check (never HTML); an ERROR is no attempt.

    `score` is the part of the step's points that was reached, 0..1, and `points` what that makes; `seconds` is how long
    the check took, `digest` the template's content (empty: a person said it). `attested`: the learner had no way to
    write it himself. `replaces` is set where an operator had the step checked again by the template as it is now: the
    content of the lab itself, whose word on the step counts no more.
    """

    step: str
    verdict: Verdict
    feedback: str
    time: float
    attested: bool
    score: float = 0.0
    points: float = 0.0
    seconds: float = 0.0
    digest: str = ""
    replaces: str | None = None


@dataclass(frozen=True)
class Answer:
    """One answer to a question: keys of choices, one text, or path and size of a file. `right` is None where a person
    marks it, as `points` is until then; `comment` is that person's."""

    question: str
    given: tuple[str, ...]
    right: bool | None
    points: float | None
    time: float
    comment: str = ""


@dataclass(frozen=True)
class Mark:
    """What a person gave for a work's answer to a question. `attested`: he was not the learner himself."""

    work: str
    question: str
    points: float
    comment: str
    time: float
    attested: bool


@dataclass(frozen=True)
class Waiting:
    """An answer that waits for a person to mark it: whose, of which activity, and when it was given."""

    work: str
    learner: str
    activity: str
    question: str
    given: tuple[str, ...]
    time: float


@dataclass(frozen=True)
class Progress:
    """What a learner has done of a work: steps ticked (by hand or by a passed check), the last results, the hints
    opened and what they cost, all answers to each question, oldest first, and the best score of each checked step."""

    ticks: frozenset[str] = frozenset()
    results: Mapping[str, CheckResult] = field(default_factory=dict)
    opened: Mapping[str, float] = field(default_factory=dict)
    answers: Mapping[str, tuple[Answer, ...]] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def done(self) -> frozenset[str]:
        """The steps that are ticked and the questions that were answered right, or handed to a person to mark."""
        return self.ticks | {
            name for name, given in self.answers.items() if any(one.right is not False for one in given)
        }

    def points(self, worth: Mapping[str, float]) -> float:
        """What steps (`worth`: by id) and answers earn, less what hints have cost; never below 0. A step earns its best
        score's part, or, where it has no check, all once it is ticked."""
        steps = sum(value * self.scores.get(step, float(step in self.ticks)) for step, value in worth.items())
        answers = sum(max((one.points or 0 for one in given), default=0) for given in self.answers.values())
        return max(0, steps + answers - sum(self.opened.values()))


class PaneMode(StrEnum):
    """What a ticket lets its holder do in a pane."""

    CONTROL = "control"
    VIEW = "view"


@dataclass(frozen=True)
class PaneLink:
    """The way to a pane: `path` below the gateway's root, and the ticket that belongs in the URL's fragment.

    `root` is where browsers find the gateway, where that is known (a service's); else the face knows it.
    """

    path: str
    ticket: str
    expires: float
    root: str = ""

    @property
    def fragment_url(self) -> str:
        """Path and fragment in one, to be put behind the gateway's address."""
        return f"{self.path}#ticket={self.ticket}"


@dataclass(frozen=True)
class Login:
    """How to sign in to a machine over SSH. `key` is a private key, `host_key` the machine's public one (both OpenSSH):
    with it, nothing has to be trusted at the first connection."""

    user: str
    key: str = field(repr=False)
    host_key: str


@dataclass(frozen=True)
class Reservation:
    """Room kept for `labs` labs of an activity, from `begins` to `ends` (None: for ever); and `spares`, labs without a
    learner that are kept ready meanwhile. `memory` is one lab's, in bytes."""

    id: str
    activity: str
    template: str
    begins: float
    ends: float | None
    labs: int
    spares: int
    memory: int


@dataclass(frozen=True)
class Snapshot:
    """What a lab's disks held at one moment. `ready`: it can be restored; `memory`: the VMs go on where they were."""

    name: str
    created: str
    machines: tuple[str, ...]
    ready: bool
    memory: bool = False
