"""What must be the same on all machines of a campaign, so that it does not matter which of them did what."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import fitness

# Those whose arithmetic, or draws, are in results.
_PACKAGES = ("numpy", "scipy", "deap")
# Rooms whose functions run in workers.
ROOMS = ("fitness", "archives", "operators", "evolve")


@lru_cache(maxsize=1)
def software_here() -> dict[str, str]:
    """Name -> version, and for headscribe a hash of its sources.

    Example:
        >>> sorted(software_here())
        ['deap', 'headscribe sources', 'numpy', 'python', 'scipy']
    """
    root, digest = Path(fitness.__file__).parents[1], hashlib.sha256()
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    python = ".".join(platform.python_version_tuple()[:2])
    packages = {name: version(name) for name in _PACKAGES}
    return {"headscribe sources": digest.hexdigest()[:12], "python": python, **packages}


def difference(wanted: Mapping[str, str], found: Mapping[str, str]) -> str:
    """What differs, in words; empty where nothing does.

    Example:
        >>> difference({"numpy": "2.4.6"}, {"numpy": "2.3.0"})
        'numpy 2.3.0, here 2.4.6'
    """
    return "; ".join(
        f"{name} {found.get(name)}, here {wanted[name]}" for name in wanted if found.get(name) != wanted[name]
    )
