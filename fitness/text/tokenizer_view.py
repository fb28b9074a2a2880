"""A stand-in for a Hugging Face tokenizer that knows one text, so that `(sentence, tokenizer)` functions run on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

ENCODED = ("input_ids", "attention_mask", "offset_mapping")


class _Size(int):
    """Number of elements as numpy has it (`ids.size`), and shape as torch has it (`ids.size(1)`)."""

    shape: tuple[int, ...]

    def __call__(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]


class Ids(np.ndarray):
    """Token ids with the few methods of a torch tensor that such functions call."""

    @property
    def size(self) -> Any:
        """Number of elements; called, the shape or one dimension of it."""
        size = _Size(np.ndarray.size.__get__(self))
        size.shape = self.shape
        return size

    def numpy(self) -> np.ndarray:
        """The ids as a plain array."""
        return np.asarray(self)

    def dim(self) -> int:
        """Number of dimensions."""
        return self.ndim

    def numel(self) -> int:
        """Number of elements."""
        return int(self.size)

    def cpu(self) -> Ids:
        """The same ids."""
        return self

    def detach(self) -> Ids:
        """The same ids."""
        return self


class Encoding(dict[str, Any]):
    """What calling the tokenizer gives: a mapping whose entries are attributes too.

    Attributes:
        text: the text that was tokenized.
    """

    def __init__(self, entries: dict[str, Any], tokens: list[str], words: list[int | None], spans: list[Any]) -> None:
        super().__init__(entries)
        self._tokens = tokens
        self._words = words
        self._spans = spans

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the encoding has no {name!r}; it has {', '.join(self)}") from None

    def __getitem__(self, name: Any) -> Any:
        return self if name == 0 and name is not False else super().__getitem__(name)

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The tokens, a leading space written as the tokenizer's own mark."""
        return list(self._tokens)

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """Index of the word of each token, None for tokens that the tokenizer added."""
        return list(self._words)

    def token_to_chars(self, batch_or_token: int, token: int | None = None) -> tuple[int, int] | None:
        """(begin, end) of a token in the text, None for tokens that the tokenizer added."""
        span = self._spans[batch_or_token if token is None else token]
        return span if span[0] < span[1] else None

    def char_to_token(self, batch_or_char: int, char: int | None = None) -> int | None:
        """Index of the token that holds a character, or None."""
        wanted = batch_or_char if char is None else char
        return next((i for i, (begin, end) in enumerate(self._spans) if begin <= wanted < end), None)

    def to(self, device: object) -> Encoding:
        """The same encoding."""
        return self


class Tokenized(Protocol):
    """What has to be known of a text; `fitness.text.view.Text` describes each."""

    @property
    def n(self) -> int: ...  # noqa: D102
    @property
    def tokens(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def ids(self) -> np.ndarray: ...  # noqa: D102
    @property
    def string(self) -> str: ...  # noqa: D102
    @property
    def word(self) -> np.ndarray: ...  # noqa: D102
    @property
    def is_special(self) -> np.ndarray: ...  # noqa: D102


class TokenizerView:
    """The tokenizer of one text: asked for that text, it gives the tokens and ids that the model saw.

    Asked for anything else, it cuts it greedily into tokens of the text, and what is left into single characters of
    id -1. Tokens are spelled the way byte-level tokenizers do, with "\u0120" for a leading space.

    Attributes:
        all_special_ids: ids of the tokens that the tokenizer added to the text.
        all_special_tokens: those tokens.
    """

    is_fast = True
    padding_side = "right"

    def __init__(self, text: Tokenized) -> None:
        self._text = text
        self._ids = {token: int(number) for token, number in zip(text.tokens, text.ids, strict=True)}
        self._strings = {int(number): token for token, number in zip(text.tokens, text.ids, strict=True)}
        special = [i for i in range(text.n) if text.is_special[i]]
        self.all_special_tokens = list(dict.fromkeys(text.tokens[i] for i in special))
        self.all_special_ids = list(dict.fromkeys(int(text.ids[i]) for i in special))
        first = text.tokens[0] if 0 in special else None
        last = text.tokens[-1] if text.n - 1 in special and text.n > 1 else None
        self.bos_token = self.cls_token = first
        self.eos_token = self.sep_token = last or first
        self.pad_token = self.unk_token = self.mask_token = None
        self.bos_token_id = self.cls_token_id = None if first is None else self._ids[first]
        self.eos_token_id = self.sep_token_id = None if (last or first) is None else self._ids[last or first or ""]
        self.pad_token_id = self.unk_token_id = self.mask_token_id = None
        self.vocab_size = int(max(self._strings)) + 1

    def __call__(self, text: str | Sequence[str], *arguments: Any, **options: Any) -> Encoding:
        """Tokenizes a string, or a list that holds one string.

        Raises:
            ValueError: for a list of several strings.
        """
        batched = not isinstance(text, str)
        if batched and len(text) != 1:
            raise ValueError(f"one text can be tokenized at a time, not {len(text)}")
        string = str(text[0]) if batched else str(text)
        tokens, ids = self._cut(string, special=bool(options.get("add_special_tokens", True)))
        whole = tokens == list(self._text.tokens)
        words = [
            None if token in self.all_special_tokens else int(self._text.word[i]) if whole else i
            for i, token in enumerate(tokens)
        ]
        if whole and None in words:
            lowest = min((word for word in words if word is not None), default=0)
            words = [None if word is None else word - lowest for word in words]
        spans = self._spans(string, tokens)
        entries: dict[str, Any] = {"input_ids": ids, "attention_mask": [1] * len(ids)}
        if options.get("return_offsets_mapping"):
            entries["offset_mapping"] = spans
        if options.get("return_tensors"):
            entries = {name: np.array([values], dtype=np.int64).view(Ids) for name, values in entries.items()}
        elif batched:
            entries = {name: [values] for name, values in entries.items()}
        return Encoding(entries, [_mark(token) for token in tokens], words, spans)

    encode_plus = __call__

    def encode(self, text: str, *arguments: Any, **options: Any) -> Any:
        """Ids of a string, with those that the tokenizer adds unless `add_special_tokens=False`."""
        return self(text, **options)["input_ids"]

    def tokenize(self, text: str, *arguments: Any, **options: Any) -> list[str]:
        """Tokens of a string, without those that the tokenizer adds."""
        return [_mark(token) for token in self._cut(str(text), special=False)[0]]

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Tokens of ids, or the token of one id."""
        if isinstance(ids, (int, np.integer)) or getattr(ids, "ndim", 1) == 0:
            return _mark(self._string(ids))
        return [_mark(self._string(number)) for number in self._kept(ids, skip_special_tokens)]

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """Ids of tokens, or the id of one token; -1 for what does not occur in the text."""
        if isinstance(tokens, str):
            return self._ids.get(_unmark(tokens), -1)
        return [self._ids.get(_unmark(token), -1) for token in tokens]

    def convert_tokens_to_string(self, tokens: Iterable[str]) -> str:
        """The string that tokens spell."""
        return "".join(_unmark(token) for token in tokens)

    def decode(self, ids: Any, skip_special_tokens: bool = False, **options: Any) -> str:
        """The string that ids, or one id, spell."""
        if isinstance(ids, (int, np.integer)) or getattr(ids, "ndim", 1) == 0:
            ids = [ids]
        return "".join(self._string(number) for number in self._kept(ids, skip_special_tokens))

    def batch_decode(self, sequences: Iterable[Any], skip_special_tokens: bool = False, **options: Any) -> list[str]:
        """The strings that several sequences of ids spell."""
        return [self.decode(ids, skip_special_tokens) for ids in sequences]

    def get_vocab(self) -> dict[str, int]:
        """Token -> id, of the tokens that occur in the text."""
        return {_mark(token): number for token, number in self._ids.items()}

    def _string(self, number: Any) -> str:
        return self._strings.get(int(number), "")

    def _kept(self, ids: Iterable[Any], skip_special_tokens: bool) -> list[int]:
        numbers = [int(number) for number in np.asarray(ids).reshape(-1)]
        return [number for number in numbers if not (skip_special_tokens and number in self.all_special_ids)]

    def _cut(self, string: str, *, special: bool) -> tuple[list[str], list[int]]:
        """Tokens as the model sees them, and ids."""
        if string == self._text.string:
            kept = [i for i in range(self._text.n) if special or self._text.tokens[i] not in self.all_special_tokens]
            return [self._text.tokens[i] for i in kept], [int(self._text.ids[i]) for i in kept]
        longest = max(map(len, self._ids))
        tokens: list[str] = []
        begin = 0
        while begin < len(string):
            end = min(len(string), begin + longest)
            while end > begin + 1 and string[begin:end] not in self._ids:
                end -= 1
            tokens.append(string[begin:end])
            begin = end
        return tokens, [self._ids.get(token, -1) for token in tokens]

    def _spans(self, string: str, tokens: list[str]) -> list[tuple[int, int]]:
        """(begin, end) of each token in the string, the leading space left out; (0, 0) for added tokens."""
        spans, at = [], 0
        for token in tokens:
            if token in self.all_special_tokens:
                spans.append((0, 0))
                continue
            bare = token.lstrip(" ")
            found = string.find(bare, at)
            begin = at if found < 0 else found
            at = min(len(string), begin + len(bare))
            spans.append((begin, at))
        return spans


def _mark(token: str) -> str:
    return token.replace(" ", "\u0120").replace("\n", "\u010a")


def _unmark(token: str) -> str:
    return token.replace("\u0120", " ").replace("\u010a", "\n").replace("\u2581", " ")
