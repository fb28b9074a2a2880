"""Does another tree find the same libraries? `python -m benchmarks.same_bytes [CHECKOUT]`.

Runs the quickstart for both bundled models with this tree and, given the path of another checkout, with that one;
prints the hash of each library.json, and fails where two of one model differ. What moves code about must change none.
The software that `provenance` names is left out of the comparison: two checkouts are two commits.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import describe

MODELS = ("storyteller-gpt2", "storyteller-llama")
HERE = Path(__file__).resolve().parents[1]


def library_bytes(tree: Path, model: str, settings: list[str]) -> bytes:
    """library.json of a quickstart that the code of a tree ran, but for the software that it names."""
    environment = os.environ | {"PYTHONPATH": str(tree)}
    with tempfile.TemporaryDirectory(prefix="headscribe-same-") as folder:
        command = [sys.executable, "-m", "evolve.cli", "run", "quickstart", "--run-dir", folder, "--json"]
        for setting in (f"model={model}", f"attention_cache={folder}/attention", *settings):
            command += ["--set", setting]
        subprocess.run(command, cwd=tree, env=environment, check=True, stdout=subprocess.DEVNULL)
        library = json.loads((Path(folder) / "library.json").read_bytes())
    library.get("provenance", {}).pop("software", None)
    return json.dumps(library, indent=2).encode()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path, nargs="?", help="another tree to compare with")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="a.b=c, for both trees")
    arguments = parser.parse_args()
    print(describe())
    trees = [HERE, *([arguments.checkout.resolve()] if arguments.checkout else [])]
    different = []
    for model in MODELS:
        found = [library_bytes(tree, model, arguments.settings) for tree in trees]
        for tree, content in zip(trees, found, strict=True):
            print(f"{hashlib.sha256(content).hexdigest()}  {model}  {tree}")
        if len(set(found)) > 1:
            different.append(model)
    print(f"different: {', '.join(different)}" if different else "the same bytes")
    return len(different)


if __name__ == "__main__":
    sys.exit(main())
