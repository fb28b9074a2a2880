"""What benchmarks share: a line on the machine and the versions, and the CPU time of a campaign's processes."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numpy


def describe() -> str:
    """One line on processor, cores, memory, load, Python and numpy."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - a device, not a file
            name = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return (
        f"{name}, {os.cpu_count()} cores, load {load:.1f}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, numpy {numpy.__version__}"
    )


def campaign_cpu(pid: int) -> float:
    """CPU seconds that a campaign, its workers and their servers have used; the programs' own runs are left out.

    A program runs in a child of a server, which counts for itself alone. Linux only.
    """
    parents, seconds, servers = {}, {}, set()
    for folder in Path("/proc").iterdir():
        try:
            process = int(folder.name)
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_text()
        except (ValueError, OSError):
            continue
        parents[process] = int(fields[1])
        seconds[process] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        if "fitness.sandbox" in command:
            servers.add(process)
    total = 0.0
    for process in seconds:
        line = [process]
        while line[-1] in parents and line[-1] != pid:
            line.append(parents[line[-1]])
        if line[-1] == pid and not servers & set(line[1:]):
            total += seconds[process]
    return total
