"""What the store can be asked, in the domain's words: so that PostgreSQL can be a second file, not a rewrite.

Every method is one transaction of its own, safe to repeat after a crash, and safe to call from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from labkit.model import (
    Answer,
    CheckResult,
    Event,
    Mark,
    Operation,
    OperationKind,
    OperationState,
    Principal,
    Progress,
    Reservation,
    Waiting,
)
from labkit.store.authoring import Authoring
from labkit.store.grades import Grades
from labkit.store.launch_rows import (
    Context,
    Hand,
    Launch,
    LaunchState,
    LinkRow,
    Member,
    NewLaunch,
    Platform,
    PlatformKeys,
    PlatformState,
    RegistrationLink,
)
from labkit.store.rows import AuditRow, Hold, LabRow, LearnerRow, Retention, Terms, TokenRow, WorkRow

Decide = Callable[[Sequence[LabRow], Sequence[Reservation]], Sequence[str]]
"""From all labs that have not ended, and all reservations, to those that wait and are to have room now."""


class Lives(Protocol):
    """How long labs live, which wait for room, and what is reserved."""

    def admit(self, decide: Decide) -> list[str]:
        """Give labs their room, decided and written in one transaction. Returns those that were admitted."""

    def put_back(self, operation: str, until: float) -> None:
        """Take a lab's room away again and put its start back into the queue: not to be tried before `until`."""

    def start_seconds(self, template: str) -> list[float]:
        """How long the last starts of a template took, newest first."""

    def near_end(self, now: float, within: float) -> list[LabRow]:
        """Ready labs that end within so many seconds by age or, as things are, for want of use."""

    def warn(self, lab: str, threshold: float, text: str) -> None:
        """Record a warning (a notice with this text), once for each time `threshold` at which it is due."""

    def set_expiry(self, lab: str, expires: float) -> None:
        """A new end by age."""

    def used(self, labs: Mapping[str, float]) -> None:
        """When labs were last used: never earlier than what is known."""

    def end(self, lab: str, why: str, *, kind: str = "age") -> Operation:
        """Want a lab ended, say why, and queue its stop."""

    def record(
        self, lab: str, kind: OperationKind, stage: str, text: str, result: Mapping[str, Any] | None = None
    ) -> Operation:
        """Write down, as an operation that is done, what needed no work."""

    def operations(self, lab: str) -> list[Operation]:
        """All operations of a lab, oldest first."""

    def lab_events(self, lab: str, after: int = 0) -> list[Event]:
        """The events of all operations of a lab with a `seq` above `after`, in order."""

    def cancel(self, operation: str) -> Operation | None:
        """Cancel what has not begun; ask what is under way to end. What is final stays as it is."""

    def template_of(self, activity: str) -> str | None:
        """The template of an activity that somebody has worked on; None where nobody has."""

    def reserve(self, reservation: Reservation) -> None: ...

    def unreserve(self, reservation: str) -> bool:
        """Forget a reservation; its spares are to end. False where there is none."""

    def reservations(self) -> list[Reservation]: ...

    def spares(self, reservation: str) -> list[LabRow]:
        """A reservation's spares that nobody has claimed, oldest first, with those that have ended."""

    def begin_spare(self, reservation: Reservation, terms: Terms, *, digest: str) -> LabRow:
        """A new lab of no learner, kept ready for a reservation."""


class Upkeep(Protocol):
    """What keeps an installation in order."""

    def busy(self, lab: str) -> bool:
        """Whether the lab has an operation that is not final."""

    def unattended(self, before: float) -> list[str]:
        """Labs on which nothing works: whose end is wanted, or that were made before then and are not ready."""

    def anyone_waits(self) -> bool:
        """Whether a lab waits for room."""

    def hold(self) -> Hold | None:
        """What waits for a person, if anything does."""

    def hold_back(self, reason: str, labs: Mapping[str, str], now: float) -> Hold:
        """Have these labs wait for a person. Where some wait already, the first reason stays."""

    def approve(self, labs: Mapping[str, str]) -> bool:
        """Let just these labs be retired. False where nothing waits."""

    def release_hold(self) -> None:
        """Forget what was approved: it is done."""

    def audit(self, actor: str, action: str, target: str, *, outcome: str = "done") -> None:
        """Note who did what to what (ids only, no personal data)."""

    def audit_log(self, *, last: int, about: str | None = None) -> list[AuditRow]:
        """The newest entries first: all, or those of one learner (id or name), lab or other thing."""

    def purge(self, retention: Retention, now: float) -> Mapping[str, int]:
        """Delete what has been kept for long enough. Returns how many rows of which table."""

    def learners(self) -> list[LearnerRow]: ...

    def export(self, learner: str) -> Mapping[str, Any]:
        """All that is stored of a learner, by table. Raises NotFound."""

    def forget(self, learner: str, *, anyway: bool = False) -> None:
        """Erase a learner; the audit log keeps what was done, of somebody. Raises NotFound, and Conflict while his labs
        run, unless it is to be `anyway`: to a controller they are labs then that the store does not know."""


class Tokens(Protocol):
    """Personal access tokens."""

    def add_token(self, principal: Principal, *, scope: str, note: str, expires: float) -> tuple[TokenRow, str]:
        """A new token for an identity that is known, and its text, which is told this once. Raises LabkitError."""

    def tokens(self) -> list[TokenRow]:
        """All tokens, oldest first, with those that count no longer."""

    def revoke_token(self, token: str) -> None:
        """Have a token, by its id, count no more. Raises NotFound."""

    def token_holder(self, token: str) -> tuple[Principal, str] | None:
        """For whom a token stands, and its scope; None where it counts no more, or never did."""


class Platforms(Protocol):
    """Learning platforms, and which labs their courses may use."""

    def add_platform(self, platform: Platform) -> None:
        """Raises Conflict where this client of this issuer is registered already."""

    def set_platform(
        self,
        platform: str,
        *,
        state: PlatformState | None = None,
        templates: tuple[str, ...] | None = None,
        deployments: tuple[str, ...] = (),
    ) -> None:
        """Raises NotFound. What is not given stays; `deployments` are added to those that are there."""

    def remove_platform(self, platform: str) -> None:
        """Forget a platform, its courses and who was launched from them; learners and their works stay. NotFound."""

    def platforms(self) -> list[Platform]: ...

    def platform(self, platform: str) -> Platform | None:
        """By our id."""

    def platforms_of(self, issuer: str) -> list[Platform]:
        """Every registered client of an issuer."""

    def platform_keys(self, platform: str) -> PlatformKeys: ...

    def may_fetch_keys(self, platform: str, now: float, pause: float) -> bool:
        """Whether nobody, in any process, has been told so in the last `pause` seconds; then it counts as tried."""

    def save_platform_keys(self, platform: str, text: str, now: float) -> None: ...

    def add_registration_link(self, link: RegistrationLink) -> None: ...

    def registration_link(self, secret: str) -> RegistrationLink | None:
        """One that has neither expired nor been used, by its hash."""

    def register_platform(self, secret: str, platform: Platform) -> None:
        """Add a platform and use its link up, in one transaction. Raises Conflict where another one has used it."""


class Launches(Platforms, Protocol):
    """Launches from platforms: sign-ins under way, browser sessions, courses, their activities and members."""

    def add_state(self, state: LaunchState, most: int) -> None:
        """Keep a sign-in under way. Expired ones go, and of the others the oldest beyond `most`."""

    def state(self, state: str) -> LaunchState | None:
        """A sign-in under way, which stays: `record_launch` takes it. It may have expired."""

    def record_launch(self, state: str, launch: NewLaunch) -> Launch | None:
        """Take the state and record all that the launch tells, in one transaction. None where it is taken or expired:
        of any number that try, one succeeds."""

    def launch(self, launch: str, secret: str) -> Launch | None:
        """A launch that has not expired, of a platform that is active, for the browser that holds its secret (given as
        its hash)."""

    def context(self, context: str) -> Context | None:
        """By our id."""

    def context_of(self, platform: str, deployment: str, context: str) -> Context | None:
        """By the platform's id."""

    def contexts(self, platform: str) -> list[Context]:
        """The courses of a platform from which somebody was launched."""

    def link(self, link: str) -> LinkRow | None:
        """By our id."""

    def link_of(self, context: str, link: str) -> LinkRow | None:
        """By the platform's id, in a course by ours."""

    def links(self, context: str) -> list[LinkRow]: ...

    def members(self, context: str) -> list[Member]:
        """All who were launched from a course, by name."""

    def work_of(self, learner: str, activity: str) -> WorkRow | None: ...

    def lab_of_work(self, work: str) -> LabRow | None:
        """The work's lab that has not ended, else the last one that has."""

    def raise_hand(self, work: str) -> None: ...

    def lower_hand(self, work: str) -> None: ...

    def hands(self, activity: str) -> list[Hand]:
        """Who calls for help with an activity, longest waiting first."""


class Store(Lives, Upkeep, Tokens, Launches, Grades, Authoring, Protocol):
    """The domain's memory."""

    def installation(self) -> str:
        """This installation's id (10 characters), made once. A controller touches only its own installation's labs."""

    def belongs_to(self, engine: str) -> bool:
        """Whether this installation's labs run on the engine of this identity: the first asked for, or, once no lab is
        left on that one, the next."""

    def learner(self, principal: Principal) -> str:
        """The learner id of the account behind an identity, made at first sight. Raises LabkitError for no identity."""

    def work(self, learner: str, activity: str, template: str) -> WorkRow:
        """The learner's work on an activity, made at first sight."""

    def begin_lab(self, work: WorkRow, *, template: str, digest: str, terms: Terms = ...) -> tuple[LabRow, bool]:
        """The work's one lab that has not ended, made if there is none (then True): in one transaction.

        A ready spare of this activity and digest is claimed instead of making one. Raises Conflict where the learner
        has as many labs as the terms allow.
        """

    def lab(self, lab: str) -> LabRow | None: ...

    def labs(self, *, learner: str | None = None, ended: bool = False) -> list[LabRow]:
        """Labs, newest first: one learner's or all; with those that have ended, or without."""

    def want(self, lab: str, wanted: str) -> None:
        """Record what a lab should be: running, paused or ended."""

    def lab_ready(self, lab: str) -> None: ...

    def lab_failed(self, lab: str, fault: str, cause: str = "") -> None: ...

    def lab_lost(self, lab: str) -> None:
        """Record that the cluster no longer has this lab though it should."""

    def lab_ended(self, lab: str) -> None: ...

    def queue(self, lab: str, kind: OperationKind, arguments: Mapping[str, Any] | None = None) -> Operation:
        """Put an operation in the queue. One of the same kind and arguments that is not final yet is returned instead.

        A stop cancels what has not begun and asks what is under way to end (see `cancelled`). It is a use of the lab,
        unless nobody asked for it (the argument `polled`): then what the same left behind the last time is forgotten.
        """

    def claim(self) -> Operation | None:
        """The next operation of a lab that has none under way, marked as running; None where there is none.

        The start of a lab that waits for room is not taken. What nobody asked for comes after all else, oldest first,
        and no more of that than `POLLED_AT_ONCE` runs at a time."""

    def requeue_interrupted(self) -> int:
        """Put back what was under way when the last worker died. Returns how many. For a worker that starts."""

    def operation(self, operation: str) -> Operation | None: ...

    def latest_operation(self, lab: str, kind: OperationKind | None = None) -> Operation | None:
        """The last operation of a kind; without one, the last that is work (no extension, no notice)."""

    def cancelled(self, operation: str) -> bool:
        """Whether the operation has been asked to end early."""

    def finish(
        self, operation: str, state: OperationState, *, result: Mapping[str, Any] | None = None, error: str = ""
    ) -> None: ...

    def add_event(self, operation: str, stage: str, text: str, progress: float) -> None: ...

    def events(self, operation: str, after: int = 0) -> list[Event]:
        """The operation's events with a `seq` above `after`, in order."""

    def tick(self, work: str, step: str, done: bool) -> None: ...

    def record_result(self, work: str, result: CheckResult) -> None:
        """Keep a check's result; a passed one ticks its step."""

    def record_answer(self, work: str, answer: Answer, *, most: int, content: bytes | None = None) -> None:
        """Keep an answer, and the file that it is (in the place of an earlier one). Raises Conflict where there is a
        right one already, a marked one, or `most` of them (0: no limit)."""

    def mark(self, work: str, question: str, points: float, comment: str, *, attested: bool = False) -> None:
        """Keep a person's mark of the newest answer, `attested` where he is not the learner. Raises NotFound where
        there is none that a person marks."""

    def marks(self, activity: str | None = None) -> list[Mark]:
        """What persons gave, in the order in which they did."""

    def handed_in(self, work: str, question: str) -> bytes | None:
        """The file that was handed in last; None where none was."""

    def waiting(self, activity: str | None = None) -> list[Waiting]:
        """The newest answers that no person has marked yet, oldest first: all, or those of an activity."""

    def open_hint(self, work: str, hint: str, cost: float) -> None:
        """Keep that a hint was opened, and what that cost the first time. Never undone."""

    def progress(self, work: str) -> Progress: ...

    def results(self, activity: str | None = None) -> list[tuple[str, CheckResult]]:
        """Every result with its work, oldest first: all, or those of an activity."""

    def last_activity(self) -> float | None:
        """When the last lab that was not ended, or the last operation, was touched; None where all is at rest."""
