"""The store: what should be. Only this part knows SQL; `protocol.Store` is all that others know of it."""

from labkit.store.protocol import LabRow, Store, WorkRow
from labkit.store.sqlite import SqliteStore

__all__ = ["LabRow", "SqliteStore", "Store", "WorkRow"]
