"""What headscribe needs of the operating system beyond Python: locks on files, and limits of processes."""

from __future__ import annotations

try:
    import fcntl
    import resource
except ImportError as missing:
    from fitness.errors import UserError

    raise UserError(
        f"headscribe runs on Linux and, with sandbox.mode=degraded, on macOS; this system has no {missing.name!r}. "
        "On Windows, install it in WSL2, which is Linux (wsl --install)"
    ) from None

__all__ = ["fcntl", "resource"]
