"""Running programs that nobody has read: confined, limited, and with nothing but their texts in reach."""

from fitness.sandbox.client import Sandbox
from fitness.sandbox.outcome import Layers, Limits, Mode, Outcome, SandboxUnavailable
from fitness.sandbox.probe import probe

__all__ = ["Layers", "Limits", "Mode", "Outcome", "Sandbox", "SandboxUnavailable", "probe"]
