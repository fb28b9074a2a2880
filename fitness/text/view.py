"""The view of one input that programs see; numpy and the standard library alone, so that the sandbox stays small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fitness.text.field import Computed, Field, field
from fitness.text.token_classes import TokenClasses
from fitness.text.tokenizer_view import TokenizerView
from fitness.text.word_classes import CLOSING, OPENING, SENTENCE_ENDS


class Text(TokenClasses):
    """A frozen view of one input of n tokens. Every array is read-only; row i is the query token, column j the key.

    Element [i, j] of a field with j <= i, and value i of a field of one value per token, depend on tokens up to i only:
    the fields of a text's beginning are the beginning of its fields, so that a program can follow a text as it grows.

    Attributes:
        tokens: n strings as the model sees them, leading space kept, with the begin token where the model has one.
        ids: (n,) int64, the model's token ids; without a model, equal for equal tokens.
        string: the text itself, as far as the tokens reach.
        n: number of tokens.

    Raises:
        ValueError: without tokens, or with ids of another length.
    """

    def __init__(self, tokens: Sequence[str], ids: Sequence[int] | None = None, string: str | None = None) -> None:
        if not tokens:
            raise ValueError("a Text needs at least one token")
        if ids is not None and len(ids) != len(tokens):
            raise ValueError(f"{len(tokens)} tokens but {len(ids)} ids")
        if ids is None:
            numbers = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
            ids = [numbers[token] for token in tokens]
        ids_array = np.asarray(ids, dtype=np.int64)
        ids_array.setflags(write=False)
        self.__dict__.update(
            tokens=tuple(tokens), ids=ids_array, string="".join(tokens) if string is None else string, n=len(tokens)
        )

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Text is read-only: {name} cannot be set")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        known = ", ".join(entry.name for entry in fields())
        raise AttributeError(f"Text has no field {name!r}; it has tokens, ids, string, n, {known}")

    def __reduce__(self) -> tuple[type[Text], tuple[Any, ...]]:
        return Text, (self.tokens, self.ids.tolist(), self.string)

    def __len__(self) -> int:
        return int(self.n)

    def precompute(self) -> Text:
        """Computes every field now, so that a forked child finds them ready; returns the same object."""
        for entry in fields():
            getattr(self, entry.name)
        return self

    @property
    def tokenizer(self) -> TokenizerView:
        """A stand-in for the model's tokenizer that knows this text, for functions written for a tokenizer."""
        return TokenizerView(self)

    def latest(self, marked: np.ndarray) -> np.ndarray:
        """(n, n) bool: the key is the last marked token up to the query, itself included.

        Args:
            marked: (n,) bool, one of the fields or several together.
        """
        marked = np.asarray(marked, dtype=bool)
        last = np.maximum.accumulate(np.where(marked, self.position, -1))
        return np.asarray(last[:, None] == self.position[None, :])

    # Where a token stands.

    @field("(n,)", "int")
    def position(self) -> np.ndarray:
        """Index of the token, from 0."""
        return np.arange(self.n)

    @field("(n, n)", "int")
    def distance(self) -> np.ndarray:
        """How many tokens the key lies behind the query, i - j; 0 is the token itself."""
        return self.position[:, None] - self.position[None, :]

    @field("(n, n)", "float")
    def log_distance(self) -> np.ndarray:
        """Natural logarithm of one plus the distance; 0 is the token itself."""
        return np.log1p(np.abs(self.distance))

    @field("(n,)", "float")
    def log_position(self) -> np.ndarray:
        """Natural logarithm of one plus the index of the token."""
        return np.log1p(self.position)

    @field("(n,)", "bool")
    def is_first(self) -> np.ndarray:
        """The very first token of the input."""
        return self.position == 0

    # Words and sentences.

    @field("(n,)", "bool")
    def starts_word(self) -> np.ndarray:
        """Begins a new word, number or punctuation mark."""
        starts = np.ones(self.n, dtype=bool)
        for index in range(1, self.n):
            last, first = self.tokens[index - 1][-1:], self.tokens[index][:1]
            joined = last.isalnum() and (first.isalnum() or first == "'")
            after_apostrophe = last == "'" and first.isalnum() and not starts[index - 1]
            starts[index] = not (joined or after_apostrophe) or self.is_special[index - 1]
        return starts

    @field("(n,)", "int")
    def word(self) -> np.ndarray:
        """Index of the word that the token belongs to, from 0."""
        return np.cumsum(self.starts_word) - 1

    @field("(n,)", "int")
    def sentence(self) -> np.ndarray:
        """Index of the sentence that the token belongs to, from 0; closing quotes belong to the sentence they close."""
        index = np.zeros(self.n, dtype=np.int64)
        ended = current = 0
        for i, token in enumerate(self.tokens):
            stripped = token.strip()
            closing = bool(stripped) and all(c in "\"')" or c in SENTENCE_ENDS for c in stripped) and token[:1] != " "
            if ended and not closing and stripped:
                current += 1
                ended = 0
            index[i] = current
            if any(c in SENTENCE_ENDS for c in stripped) or "\n" in token:
                ended = 1
        return index

    @field("(n,)", "int")
    def position_in_word(self) -> np.ndarray:
        """How many tokens of its word came before it; 0 begins the word."""
        return self.position - np.searchsorted(self.word, self.word, side="left")

    @field("(n,)", "int")
    def position_in_sentence(self) -> np.ndarray:
        """How many tokens of its sentence came before it; 0 begins the sentence."""
        return self.position - np.searchsorted(self.sentence, self.sentence, side="left")

    @field("(n, n)", "bool")
    def same_word(self) -> np.ndarray:
        """Query and key belong to one word."""
        return self.word[:, None] == self.word[None, :]

    @field("(n, n)", "bool")
    def same_sentence(self) -> np.ndarray:
        """Query and key stand in one sentence."""
        return self.sentence[:, None] == self.sentence[None, :]

    @field("(n, n)", "int")
    def word_distance(self) -> np.ndarray:
        """How many words the key's word lies behind the query's word."""
        return self.word[:, None] - self.word[None, :]

    @field("(n, n)", "int")
    def sentence_distance(self) -> np.ndarray:
        """How many sentences the key's sentence lies behind the query's sentence."""
        return self.sentence[:, None] - self.sentence[None, :]

    # Lines and brackets.

    @field("(n,)", "int")
    def line(self) -> np.ndarray:
        """Index of the line that the token belongs to, from 0; a line break ends its line."""
        return np.cumsum(np.append(0, self.is_newline[:-1]))

    @field("(n, n)", "bool")
    def same_line(self) -> np.ndarray:
        """Query and key stand in one line."""
        return self.line[:, None] == self.line[None, :]

    @field("(n,)", "bool")
    def starts_line(self) -> np.ndarray:
        """The first token of its line that is more than white space."""
        seen = np.cumsum(~self.is_blank)
        return ~self.is_blank & (seen - 1 == (seen - ~self.is_blank)[np.searchsorted(self.line, self.line)])

    @field("(n,)", "bool")
    def opens_bracket(self) -> np.ndarray:
        """Holds a round, square or curly bracket that opens."""
        return np.array([any(c in OPENING for c in t) for t in self.tokens]) & ~self.is_special

    @field("(n,)", "bool")
    def closes_bracket(self) -> np.ndarray:
        """Holds a round, square or curly bracket that closes."""
        return np.array([any(c in CLOSING for c in t) for t in self.tokens]) & ~self.is_special

    @field("(n, n)", "bool")
    def encloses(self) -> np.ndarray:
        """The key opens the innermost bracket that is open before the query."""
        inside = np.full(self.n, -1)
        opened: list[int] = []
        for index, token in enumerate(self.tokens):
            inside[index] = opened[-1] if opened else -1
            for character in "" if self.is_special[index] else token:
                if character in OPENING:
                    opened.append(index)
                elif character in CLOSING and opened:
                    opened.pop()
        return inside[:, None] == self.position[None, :]

    # Neighbours and names, and how tokens repeat.

    @field("(n,)", "bool")
    def follows_function_word(self) -> np.ndarray:
        """The token before it is a function word."""
        return np.append(False, self.is_function_word[:-1])

    @field("(n,)", "bool")
    def is_name(self) -> np.ndarray:
        """Begins with a capital letter though it does not begin a sentence, or repeats an earlier such token."""
        after_quote = np.append(False, self.is_quote[:-1] | self.is_special[:-1])
        opens = (self.position_in_sentence == 0) | after_quote | self.is_function_word | ~self.starts_word
        sure = self.is_capitalised & ~opens
        return (self.same_letters & sure[None, :] & (self.distance >= 0)).any(axis=1) & self.is_capitalised

    @field("(n, n)", "bool")
    def same(self) -> np.ndarray:
        """Query and key are the same token; true on the diagonal."""
        return self.ids[:, None] == self.ids[None, :]

    @field("(n, n)", "bool")
    def same_letters(self) -> np.ndarray:
        """Query and key are the same but for case and spaces; true on the diagonal."""
        _, index = np.unique([t.strip().lower() for t in self.tokens], return_inverse=True)
        return index[:, None] == index[None, :]

    @field("(n, n)", "bool")
    def same_beginning(self) -> np.ndarray:
        """Query and key begin with the same three letters, whatever their case; true on the diagonal of such tokens."""
        begins = [t.strip()[:3].lower() for t in self.tokens]
        _, index = np.unique(begins, return_inverse=True)
        long = np.array([len(begin) == 3 and begin.isalpha() for begin in begins])
        return (index[:, None] == index[None, :]) & long

    @field("(n, n)", "bool")
    def after_same(self) -> np.ndarray:
        """The key follows an earlier occurrence of the query token: where an induction head looks."""
        shifted = np.zeros((self.n, self.n), dtype=bool)
        shifted[:, 1:] = self.same[:, :-1]
        return shifted & (self.distance >= 0)

    @field("(n, n)", "bool")
    def before_same(self) -> np.ndarray:
        """The key precedes an earlier occurrence of the query token."""
        shifted = np.zeros((self.n, self.n), dtype=bool)
        shifted[:, :-1] = self.same[:, 1:]
        return shifted & (self.distance >= 2)

    @field("(n, n)", "bool")
    def same_previous(self) -> np.ndarray:
        """The token before the key is the token before the query; true on the diagonal."""
        shifted = np.zeros((self.n, self.n), dtype=bool)
        shifted[1:, 1:] = self.same[:-1, :-1]
        return shifted

    @field("(n,)", "int")
    def occurrence(self) -> np.ndarray:
        """How often the same token came before."""
        return np.tril(self.same, -1).sum(axis=1)


def fields() -> list[Field]:
    """Every array of `Text` in the order of the source, for documentation, prompts and the genetic operator."""
    return [
        value.field for owner in reversed(Text.__mro__) for value in vars(owner).values() if isinstance(value, Computed)
    ]
