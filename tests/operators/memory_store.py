"""A call store in memory, for tests."""

import json
import threading
from dataclasses import dataclass, field
from typing import Any


@dataclass
class MemoryStore:
    """Keeps records as text, so that only what JSON can hold survives; notes the order of writing."""

    records: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def get(self, key: str) -> dict[str, Any] | None:
        with self._lock:
            text = self.records.get(key)
        return None if text is None else json.loads(text)

    def put(self, key: str, record: dict[str, Any]) -> None:
        with self._lock:
            self.records.setdefault(key, json.dumps(record))

    def calls(self):
        with self._lock:
            kept = list(self.records.items())
        return iter([(key, json.loads(text)) for key, text in kept])

    def all_text(self) -> str:
        return "\n".join([*self.records, *self.records.values()])
