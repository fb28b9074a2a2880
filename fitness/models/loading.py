"""Loading a target model, and reading token ids the way that programs see them."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fitness.errors import UserError
from fitness.text.sources import demo_path
from fitness.text.view import Text

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger("headscribe")

HUB_SECONDS = 10


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from.

    Attributes:
        path: a folder, or a name on the hub.
        revision: commit of the hub's repository; None for a folder.
        offline: the hub did not answer, and the local copy of this revision serves.
    """

    path: str
    revision: str | None = None
    offline: bool = False

    @cached_property
    def identity(self) -> str:
        """What distinguishes this model's attention from any other's: a hash of all files, or hub name and revision."""
        if self.revision is not None:
            return f"{self.path}@{self.revision}"
        digest = hashlib.sha256()
        for file in sorted(Path(self.path).iterdir()):
            if file.suffix in (".json", ".safetensors", ".bin", ".model", ".txt") and file.is_file():
                digest.update(f"{file.name}:".encode())
                with file.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()

    @property
    def options(self) -> dict[str, Any]:
        """What transformers' `from_pretrained` needs besides the path."""
        options: dict[str, Any] = {"revision": self.revision} if self.revision else {}
        return options | {"local_files_only": self.offline or self.revision is None}


def locate(model: str) -> ModelSource:
    """Finds a model without loading it.

    Args:
        model: a folder in Hugging Face format, the name of a bundled model, or a name on the hub.

    Raises:
        UserError: for a folder that is missing or holds no model, and for a hub that knows no such model or that
            cannot be reached.
    """
    folder = Path(model) if Path(model).exists() else demo_path(model)
    if folder is not None:
        if not (folder / "config.json").is_file():
            raise UserError(f"model: {model} holds no config.json; give a folder in Hugging Face format, or a hub name")
        return ModelSource(str(folder))
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", model) or model.startswith("."):
        raise UserError(f"model: there is no folder {model!r}; give a folder in Hugging Face format, or a hub name")
    return _locate_on_hub(model)


def _locate_on_hub(model: str) -> ModelSource:
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        # One question without retries: a hub that cannot be reached is known at once, not after half a minute.
        return ModelSource(model, HfApi().model_info(model, timeout=HUB_SECONDS).sha)
    except RepositoryNotFoundError:
        raise UserError(
            f"model: there is neither a folder {model!r} nor a hub model of that name that you may read"
        ) from None
    except Exception as error:  # the hub client raises many kinds, which all mean that it did not answer
        reason = first_line(error)
    copy = try_to_load_from_cache(model, "config.json")
    if not isinstance(copy, str):
        raise UserError(
            f"model: there is no folder {model!r}, and the hub cannot be reached ({reason}); give a folder in Hugging "
            "Face format, or storyteller-gpt2 or storyteller-llama, which are bundled"
        )
    log.warning("the hub cannot be reached (%s); using the local copy of %s", reason, model)
    return ModelSource(model, Path(copy).parent.name, offline=True)


def first_line(error: BaseException) -> str:
    """The first line of what an exception says, at most 200 characters."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return (lines[0].strip() if lines else type(error).__name__)[:200]


def load_model(
    model: str | ModelSource, attention: Literal["eager", "sdpa"] = "eager"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Loads a model in float32 for evaluation, on the GPU where there is one.

    A causal model is loaded with its language model head, an encoder with its masked language model head.

    Args:
        model: what `locate` takes or returns.
        attention: how it computes attention where nobody looks at it; `eager` is exact, `sdpa` faster.

    Raises:
        UserError: where the model cannot be found or loaded, or has both an encoder and a decoder.
    """
    import torch
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING

    source = locate(model) if isinstance(model, str) else model
    options = source.options
    bars = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        config = transformers.AutoConfig.from_pretrained(source.path, **options)
        if config.is_encoder_decoder:
            raise UserError(f"model: {source.path} has an encoder and a decoder; give a causal model or an encoder")
        written_for = "".join(getattr(config, "architectures", None) or [])
        is_encoder = type(config) in MODEL_FOR_MASKED_LM_MAPPING and not re.search("CausalLM|LMHead", written_for)
        family = transformers.AutoModelForMaskedLM if is_encoder else transformers.AutoModelForCausalLM
        loaded = family.from_pretrained(
            source.path, config=config, dtype=torch.float32, attn_implementation=attention, **options
        )
        tokenizer = load_tokenizer(source)
    except UserError:
        raise
    except Exception as error:  # broken files of any kind surface as any kind of exception
        raise UserError(f"model: {source.path} cannot be loaded: {first_line(error)}") from error
    finally:
        if bars:
            transformers.utils.logging.enable_progress_bar()
    return loaded.to("cuda" if torch.cuda.is_available() else "cpu").eval(), tokenizer


def load_tokenizer(model: str | ModelSource) -> PreTrainedTokenizerBase:
    """Loads a model's tokenizer alone.

    Raises:
        UserError: where the model cannot be found, or its tokenizer cannot be loaded.
    """
    import transformers

    source = locate(model) if isinstance(model, str) else model
    try:
        return transformers.AutoTokenizer.from_pretrained(source.path, **source.options)
    except Exception as error:  # broken files of any kind surface as any kind of exception
        raise UserError(f"model: the tokenizer of {source.path} cannot be loaded: {first_line(error)}") from error


def context_length(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The most tokens that the model takes, or None where nothing is known of it."""
    config = model.config.get_text_config()
    # Some models keep rows of their position table for padding; then the tokenizer says less, and is right.
    known = [getattr(config, "max_position_embeddings", None), tokenizer.model_max_length]
    lengths = [int(length) for length in known if length is not None and length < 10**9]
    return min(lengths, default=None)


class Reader:
    """Turns token ids into `Text`, one way for capture and for replacement.

    Args:
        tokenizer: the model's tokenizer.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._style = _style(tokenizer)
        self._special = {int(i) for i in tokenizer.all_special_ids}
        self._special |= {int(i) for i, token in tokenizer.added_tokens_decoder.items() if token.special}
        self._known: dict[int, str] = {}

    def text(self, ids: Sequence[int]) -> Text:
        """The text of token ids: special tokens by their names, other tokens as the model sees them, space kept."""
        tokens = [self._token(int(index)) for index in ids]
        if self._style == "wordpiece":
            tokens = self._with_spaces(tokens, ids)
        string = self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return Text(tokens, list(ids), string)

    def encode(self, string: str, max_tokens: int) -> tuple[list[int], bool]:
        """Token ids of a string, special tokens included, and whether it was cut to `max_tokens`."""
        ids = self._tokenizer(string, truncation=False, verbose=False)["input_ids"]
        if len(ids) <= max_tokens:
            return ids, False
        return self._tokenizer(string, truncation=True, max_length=max_tokens)["input_ids"], True

    def _token(self, index: int) -> str:
        if index not in self._known:
            self._known[index] = self._read(index)
        return self._known[index]

    def _read(self, index: int) -> str:
        raw = self._tokenizer.convert_ids_to_tokens(index)
        if raw is None:
            return f"<{index}>"
        if index in self._special:
            return str(raw)
        if self._style == "bytes":
            return str(self._tokenizer.convert_tokens_to_string([raw]))
        if self._style == "sentencepiece":
            byte = re.fullmatch(r"<0x([0-9A-F]{2})>", raw)
            return bytes.fromhex(byte[1]).decode("utf-8", "replace") if byte else raw.replace("\u2581", " ")
        if self._style == "wordpiece":
            return str(raw)
        return str(self._tokenizer.decode([index], clean_up_tokenization_spaces=False))

    def _with_spaces(self, tokens: list[str], ids: Sequence[int]) -> list[str]:
        # A word piece vocabulary marks what continues a word; programs expect a space before what begins one.
        spaced: list[str] = []
        for token, index in zip(tokens, ids, strict=True):
            begins = token[:1].isalnum() and bool(spaced) and int(index) not in self._special
            spaced.append(token[2:] if token.startswith("##") else " " * begins + token)
        return spaced


def _style(tokenizer: PreTrainedTokenizerBase) -> Literal["bytes", "sentencepiece", "wordpiece", "other"]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return "other"
    described = json.loads(backend.to_str())
    decoder = json.dumps(described.get("decoder") or {}, ensure_ascii=False)
    if "ByteLevel" in decoder:
        return "bytes"
    if "\u2581" in decoder:
        return "sentencepiece"
    return "wordpiece" if "WordPiece" in decoder else "other"
