"""What is kept of a run: its database and records, its directory, log and lock, and who read the test split."""

from evolve.store.database import FILE, Store

__all__ = ["FILE", "Store"]
