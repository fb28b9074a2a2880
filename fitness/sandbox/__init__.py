"""Running programs that nobody has read: confined, limited, and with nothing but their texts in reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fitness.sandbox.outcome import NOT_STOPPED, Layers, Limits, Mode, Outcome, SandboxUnavailable

if TYPE_CHECKING:
    from fitness.sandbox.client import Sandbox
    from fitness.sandbox.self_test import probe

__all__ = ["NOT_STOPPED", "Layers", "Limits", "Mode", "Outcome", "Sandbox", "SandboxUnavailable", "probe"]


def __getattr__(name: str) -> Any:
    """Imports the trusted side when it is asked for: the fork server, also of this package, must stay small."""
    if name == "Sandbox":
        from fitness.sandbox.client import Sandbox

        return Sandbox
    if name == "probe":
        from fitness.sandbox.self_test import probe

        return probe
    raise AttributeError(name)
