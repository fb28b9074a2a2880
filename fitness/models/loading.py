"""Loading a target model, and reading token ids the way that programs see them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fitness.errors import UserError
from fitness.models.gguf_files import gguf_quantisation, parsed_once
from fitness.models.size import check_fits, parameter_count
from fitness.models.source import ModelSource, first_line, locate
from fitness.text.view import Text

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Loaded:
    """A model, ready to run.

    Attributes:
        model: in evaluation mode.
        tokenizer: its tokenizer.
        quantised: how its weights are quantised, such as `GGUF Q4_1` or `bitsandbytes`; None where they are not.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    quantised: str | None


def load_model(
    model: str | ModelSource, attention: Literal["eager", "sdpa"] = "eager"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model and its tokenizer, see `load`."""
    loaded = load(locate(model) if isinstance(model, str) else model, attention)
    return loaded.model, loaded.tokenizer


def load(source: ModelSource, attention: Literal["eager", "sdpa"] = "eager") -> Loaded:
    """Loads a model for evaluation, in the type and on the device that its source says.

    A causal model is loaded with its language model head, an encoder with its masked language model head. Quantised
    checkpoints are neither cast nor moved; weights of a GGUF file are dequantised.

    Args:
        source: what `locate` returns.
        attention: how it computes attention where nobody looks at it; `eager` is exact, `sdpa` faster.

    Raises:
        UserError: where the model cannot be loaded, does not fit in memory, or has both an encoder and a decoder.
    """
    import transformers

    bars = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        with parsed_once(source):
            return _load(source, attention)
    except UserError:
        raise
    except Exception as error:  # broken files of any kind surface as any kind of exception
        raise UserError(f"model: {source.name} cannot be loaded: {_told(error)}") from error
    finally:
        if bars:
            transformers.utils.logging.enable_progress_bar()


def _load(source: ModelSource, attention: str) -> Loaded:
    import transformers

    config = transformers.AutoConfig.from_pretrained(source.path, **source.options)
    family, by = model_family(config, source), quantised_by(config)
    how = placement(source, config)
    if by is None and source.device_map is None:
        check_fits(parameter_count(config, family), how["dtype"].itemsize, device_of(source), source.name)
    model = family.from_pretrained(source.path, config=config, attn_implementation=attention, **source.options, **how)
    if by is None and source.device_map is None:
        model = model.to(device_of(source))
    return Loaded(model.eval(), load_tokenizer(source), gguf_quantisation(source) if source.gguf else by)


def model_family(config: PreTrainedConfig, source: ModelSource) -> Any:
    """The Auto class that a model is loaded with.

    Raises:
        UserError: for a model with both an encoder and a decoder.
    """
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING

    if config.is_encoder_decoder:
        raise UserError(f"model: {source.name} has an encoder and a decoder; give a causal model or an encoder")
    written_for = "".join(getattr(config, "architectures", None) or [])
    is_encoder = type(config) in MODEL_FOR_MASKED_LM_MAPPING and not re.search("CausalLM|LMHead", written_for)
    return transformers.AutoModelForMaskedLM if is_encoder else transformers.AutoModelForCausalLM


def quantised_by(config: PreTrainedConfig) -> str | None:
    """Name of the method that a checkpoint's weights are quantised by, or None."""
    found = getattr(config, "quantization_config", None)
    method = found.get("quant_method") if isinstance(found, dict) else getattr(found, "quant_method", None)
    return None if found is None else str(getattr(method, "value", method))


def placement(source: ModelSource, config: PreTrainedConfig) -> dict[str, Any]:
    """Options of `from_pretrained` on the type of the weights and where they go.

    Raises:
        UserError: for a device that is not there, and a device map without accelerate.
    """
    import torch

    quantised, device = quantised_by(config) is not None, device_of(source)
    if source.device_map is not None:
        if not _has_accelerate():
            raise UserError("model: device_map needs pip install 'headscribe[accelerate]'")
        place: dict[str, Any] = {"device_map": source.device_map}
    else:
        # Quantised weights are made on the device where they stay.
        place = {"device_map": {"": device}} if quantised and device != "cpu" else {}
    if quantised:
        return place
    # A GGUF file has no type of its own once its weights are dequantised.
    own = torch.float32 if source.gguf else getattr(config, "dtype", None) or torch.float32
    return place | {"dtype": own if source.dtype == "auto" else getattr(torch, source.dtype)}


def device_of(source: ModelSource) -> str:
    """The device that a model is put on.

    Raises:
        UserError: where it is not there.
    """
    import torch

    if source.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[source.device]:
        here = ", ".join(name for name, is_there in there.items() if is_there)
        raise UserError(f"device: there is no {source.device} here; use auto or one of {here}")
    return source.device


def _has_accelerate() -> bool:
    from importlib.util import find_spec

    return find_spec("accelerate") is not None


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
        raise UserError(f"model: the tokenizer of {source.name} cannot be loaded: {_told(error)}") from error


def _told(error: Exception) -> str:
    if "trust_remote_code" in str(error):
        return "it comes with code of its own, which headscribe does not run: trust_remote_code is False"
    return first_line(error)


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
