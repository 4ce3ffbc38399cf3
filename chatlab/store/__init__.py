"""The durable store, and the only room that knows DuckDB."""

from chatlab.store.status import StoreStatus
from chatlab.store.store import DuckStore

__all__ = ["DuckStore", "StoreStatus"]
