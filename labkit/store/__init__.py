"""The store: what should be. Only this part knows SQL; `protocol.Store` is all that others know of it."""

from labkit.store.protocol import Decide, LabRow, Store, Terms, WorkRow
from labkit.store.sqlite import SqliteStore
from labkit.store.tables import new_id

__all__ = ["Decide", "LabRow", "SqliteStore", "Store", "Terms", "WorkRow", "new_id"]
