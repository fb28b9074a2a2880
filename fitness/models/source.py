"""Where a model comes from, and how it is to be loaded; nothing is loaded here."""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from fitness.errors import UserError
from fitness.text.sources import demo_path

log = logging.getLogger("headscribe")

HUB_SECONDS = 10
GIVE = "give a folder in Hugging Face format, a .gguf file, or a hub name"

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Device = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True)
class ModelSource:
    """A model that was found, and how it is to be loaded.

    Attributes:
        path: a folder, or a name on the hub.
        revision: commit of the hub's repository; None for a folder.
        offline: the hub did not answer, and the local copy of this revision serves.
        gguf: the GGUF file within `path` that holds the model; None for Hugging Face's own format.
        dtype: type of the weights; `auto` is the checkpoint's own. Quantised checkpoints keep theirs.
        device: where the model is put; `auto` is a CUDA GPU where there is one, else the CPU.
        device_map: spreads a model that is too large for one device, as transformers' `device_map` (extra
            `accelerate`); None keeps it on one.
    """

    path: str
    revision: str | None = None
    offline: bool = False
    gguf: str | None = None
    dtype: Dtype = "float32"
    device: Device = "auto"
    device_map: str | None = None

    @cached_property
    def identity(self) -> str:
        """What distinguishes this model's attention from any other's: content or hub revision, file and dtype."""
        how = f"{self.gguf or ''}:{self.dtype}"
        if self.revision is not None:
            return f"{self.path}@{self.revision}:{how}"
        digest = hashlib.sha256(how.encode())
        for file in sorted(Path(self.path).iterdir()):
            counts = file.name == self.gguf if self.gguf else file.suffix in CONTENT
            if counts and file.is_file():
                digest.update(f"{file.name}:".encode())
                with file.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()

    @property
    def options(self) -> dict[str, Any]:
        """What transformers' `from_pretrained` needs besides the path."""
        options: dict[str, Any] = {"revision": self.revision} if self.revision else {}
        options |= {"gguf_file": self.gguf} if self.gguf else {}
        # Said, and not left open: where it is open, transformers asks at a terminal whether to run a model's own code.
        return options | {"local_files_only": self.offline or self.revision is None, "trust_remote_code": False}

    @property
    def name(self) -> str:
        """The model as people name it."""
        return f"{self.path}/{self.gguf}" if self.gguf else self.path


CONTENT = (".json", ".safetensors", ".bin", ".model", ".txt")


def locate(
    model: str,
    *,
    revision: str | None = None,
    dtype: Dtype = "float32",
    device: Device = "auto",
    device_map: str | None = None,
) -> ModelSource:
    """Finds a model without loading it.

    Args:
        model: a folder in Hugging Face format, a `.gguf` file (extra `gguf`), the name of a bundled model, or a name
            on the hub: `owner/name`, or `owner/name/file.gguf`.
        revision: branch, tag or commit on the hub.
        dtype: see `ModelSource`.
        device: see `ModelSource`.
        device_map: see `ModelSource`.

    Raises:
        UserError: for a folder that is missing or holds no model, a file that is no GGUF, and a hub that knows no such
            model or that cannot be reached.
    """
    found = _find(model, revision)
    if found.gguf and not _has_gguf():
        raise UserError(f"model: reading {found.gguf} needs pip install 'headscribe[gguf]'")
    return replace(found, dtype=dtype, device=device, device_map=device_map)


def _find(model: str, revision: str | None) -> ModelSource:
    path = Path(model) if Path(model).exists() else demo_path(model)
    if path is not None and revision is not None:
        raise UserError(f"model: {model} is on this machine and has no revision {revision!r}; leave `revision` out")
    if path is not None and path.is_file():
        with path.open("rb") as stream:
            if stream.read(4) != b"GGUF":
                raise UserError(f"model: {model} is no GGUF file; {GIVE}")
        return ModelSource(str(path.parent), gguf=path.name)
    if path is not None:
        if not (path / "config.json").is_file():
            files = sorted(file.name for file in path.glob("*.gguf"))
            hint = f"; did you mean the file {files[0]} in it?" if files else f"; {GIVE}"
            raise UserError(f"model: {model} holds no config.json{hint}")
        return ModelSource(str(path))
    on_hub = re.fullmatch(r"([\w.-]+(?:/[\w.-]+)?)(?:/([\w.-]+\.gguf))?", model)
    if on_hub is None or model.startswith(".") or (model.endswith(".gguf") and on_hub[2] is None):
        raise UserError(f"model: there is no file or folder {model!r}; {GIVE}")
    return _on_hub(on_hub[1], on_hub[2], revision)


def _on_hub(model: str, gguf: str | None, revision: str | None) -> ModelSource:
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        # One question without retries: a hub that cannot be reached is known at once, not after half a minute.
        return ModelSource(model, HfApi().model_info(model, revision=revision, timeout=HUB_SECONDS).sha, gguf=gguf)
    except RevisionNotFoundError:
        raise UserError(f"model: {model} has no revision {revision!r} on the hub") from None
    except RepositoryNotFoundError:
        raise UserError(
            f"model: there is neither a folder {model!r} nor a hub model of that name that you may read"
        ) from None
    except Exception as error:  # the hub client raises many kinds, which all mean that it did not answer
        reason = first_line(error)
    copy = try_to_load_from_cache(model, gguf or "config.json", revision=revision)
    if not isinstance(copy, str):
        raise UserError(
            f"model: there is no folder {model!r}, and the hub cannot be reached ({reason}); give a folder in Hugging "
            "Face format, a .gguf file, or storyteller-gpt2 or storyteller-llama, which are bundled"
        )
    log.warning("the hub cannot be reached (%s); using the local copy of %s", reason, model)
    return ModelSource(model, Path(copy).parent.name, offline=True, gguf=gguf)


def _has_gguf() -> bool:
    from importlib.util import find_spec

    return find_spec("gguf") is not None


def first_line(error: BaseException) -> str:
    """The first line of what an exception says, at most 200 characters."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return (lines[0].strip() if lines else type(error).__name__)[:200]
