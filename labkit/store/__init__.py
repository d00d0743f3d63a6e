"""The store: what should be. Only this part knows SQL; `protocol.Store` is all that others know of it."""

from labkit.store.authoring import AuthorRow, CourseLab
from labkit.store.copies import backup
from labkit.store.grades import GradeRow
from labkit.store.launch_rows import (
    Context,
    Hand,
    Launch,
    LaunchRole,
    LaunchState,
    Link,
    LinkRow,
    Member,
    NewLaunch,
    Platform,
    PlatformKeys,
    PlatformState,
    RegistrationLink,
)
from labkit.store.protocol import Decide, Store
from labkit.store.restoring import restore
from labkit.store.rows import AuditRow, Hold, LabRow, LearnerRow, Retention, Terms, TokenRow, WorkRow
from labkit.store.sqlite import SqliteStore
from labkit.store.tables import new_id

__all__ = [
    "AuditRow",
    "AuthorRow",
    "Context",
    "CourseLab",
    "Decide",
    "GradeRow",
    "Hand",
    "Hold",
    "LabRow",
    "Launch",
    "LaunchRole",
    "LaunchState",
    "LearnerRow",
    "Link",
    "LinkRow",
    "Member",
    "NewLaunch",
    "Platform",
    "PlatformKeys",
    "PlatformState",
    "RegistrationLink",
    "Retention",
    "SqliteStore",
    "Store",
    "Terms",
    "TokenRow",
    "WorkRow",
    "backup",
    "new_id",
    "restore",
]
