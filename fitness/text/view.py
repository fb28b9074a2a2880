"""The view of one input that programs see; numpy and the standard library alone, so that the sandbox stays small."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np

from fitness.text.tokenizer_view import TokenizerView

Shape = Literal["(n, n)", "(n,)"]
Kind = Literal["bool", "int", "float"]

FUNCTION_WORDS = frozenset(
    "a an the and or but so if then than that this these those of in on at to for from by with about into over under "
    "up down out off as is are was were be been am do does did have has had will would can could may might must not "
    "no nor i you he she it we they me him her us them my your his its our their who what which when where why how "
    "there here".split()
)
ARTICLES = frozenset("a an the".split())
PREPOSITIONS = frozenset(
    "of in on at to for from by with about into over under up down out off through around near after before".split()
)
CONJUNCTIONS = frozenset("and but or so then if because when while as".split())
AUXILIARIES = frozenset(
    "is are was were be been am do does did have has had will would can could may might must".split()
)
PRONOUNS = frozenset("i you he she it we they me him her us them my your his its our their mine yours hers".split())
SENTENCE_ENDS = frozenset(".!?")


@dataclass(frozen=True)
class Field:
    """One array of `Text`: what a program may use.

    Attributes:
        name: attribute name on `Text`.
        shape: "(n, n)": element [i, j] describes query i and key j. "(n,)": one value per token; used as it is, it
            describes the key, and as `[:, None]` the query.
        kind: type of its elements.
        doc: one line that says what it holds.
    """

    name: str
    shape: Shape
    kind: Kind
    doc: str


class _Computed:
    """Descriptor that computes an array once, freezes it and keeps it in the instance's dictionary."""

    def __init__(self, compute: Callable[[Text], np.ndarray], shape: Shape, kind: Kind) -> None:
        self.compute = compute
        self.field = Field(compute.__name__, shape, kind, (compute.__doc__ or "").strip())
        self.__doc__ = f"{shape} {kind}: {self.field.doc}"

    @overload
    def __get__(self, text: None, owner: type[Text]) -> _Computed: ...

    @overload
    def __get__(self, text: Text, owner: type[Text]) -> np.ndarray: ...

    def __get__(self, text: Text | None, owner: type[Text]) -> _Computed | np.ndarray:
        if text is None:
            return self
        array = np.ascontiguousarray(self.compute(text))
        array.setflags(write=False)
        text.__dict__[self.field.name] = array
        return array


def _field(shape: Shape, kind: Kind) -> Callable[[Callable[[Any], np.ndarray]], _Computed]:
    return lambda compute: _Computed(compute, shape, kind)


class Text:
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
        known = ", ".join(field.name for field in fields())
        raise AttributeError(f"Text has no field {name!r}; it has tokens, ids, string, n, {known}")

    def __reduce__(self) -> tuple[type[Text], tuple[Any, ...]]:
        return Text, (self.tokens, self.ids.tolist(), self.string)

    def __len__(self) -> int:
        return int(self.n)

    def precompute(self) -> Text:
        """Computes every field now, so that a forked child finds them ready; returns the same object."""
        for field in fields():
            getattr(self, field.name)
        return self

    @property
    def tokenizer(self) -> TokenizerView:
        """A stand-in for the model's tokenizer that knows this text, for functions written for a tokenizer."""
        return TokenizerView(self)

    # Where a token stands.

    @_field("(n,)", "int")
    def position(self) -> np.ndarray:
        """Index of the token, from 0."""
        return np.arange(self.n)

    @_field("(n, n)", "int")
    def distance(self) -> np.ndarray:
        """How many tokens the key lies behind the query, i - j; 0 is the token itself."""
        return self.position[:, None] - self.position[None, :]

    @_field("(n,)", "bool")
    def is_first(self) -> np.ndarray:
        """The very first token of the input."""
        return self.position == 0

    # Words and sentences.

    @_field("(n,)", "bool")
    def starts_word(self) -> np.ndarray:
        """Begins a new word, number or punctuation mark."""
        starts = np.ones(self.n, dtype=bool)
        for index in range(1, self.n):
            last, first = self.tokens[index - 1][-1:], self.tokens[index][:1]
            joined = last.isalnum() and (first.isalnum() or first == "'")
            after_apostrophe = last == "'" and first.isalnum() and not starts[index - 1]
            starts[index] = not (joined or after_apostrophe) or self.is_special[index - 1]
        return starts

    @_field("(n,)", "int")
    def word(self) -> np.ndarray:
        """Index of the word that the token belongs to, from 0."""
        return np.cumsum(self.starts_word) - 1

    @_field("(n,)", "int")
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

    @_field("(n,)", "int")
    def position_in_word(self) -> np.ndarray:
        """How many tokens of its word came before it; 0 begins the word."""
        return self.position - np.searchsorted(self.word, self.word, side="left")

    @_field("(n,)", "int")
    def position_in_sentence(self) -> np.ndarray:
        """How many tokens of its sentence came before it; 0 begins the sentence."""
        return self.position - np.searchsorted(self.sentence, self.sentence, side="left")

    @_field("(n, n)", "bool")
    def same_word(self) -> np.ndarray:
        """Query and key belong to one word."""
        return self.word[:, None] == self.word[None, :]

    @_field("(n, n)", "bool")
    def same_sentence(self) -> np.ndarray:
        """Query and key stand in one sentence."""
        return self.sentence[:, None] == self.sentence[None, :]

    @_field("(n, n)", "int")
    def word_distance(self) -> np.ndarray:
        """How many words the key's word lies behind the query's word."""
        return self.word[:, None] - self.word[None, :]

    @_field("(n, n)", "int")
    def sentence_distance(self) -> np.ndarray:
        """How many sentences the key's sentence lies behind the query's sentence."""
        return self.sentence[:, None] - self.sentence[None, :]

    # What a token is.

    @_field("(n,)", "bool")
    def is_special(self) -> np.ndarray:
        """A token such as <|begin|> or [SEP] that the tokenizer added."""
        return np.array(
            [len(t) > 2 and (t[0] + t[-1]) in ("<>", "[]") and t.strip() == t for t in self.tokens], dtype=bool
        )

    @_field("(n,)", "bool")
    def is_punctuation(self) -> np.ndarray:
        """Consists of punctuation marks."""
        marks = set(string.punctuation) | set("…“”‘’—–")
        found = [bool(t.strip()) and all(c in marks for c in t.strip()) for t in self.tokens]
        return np.array(found, dtype=bool) & ~self.is_special

    @_field("(n,)", "bool")
    def is_sentence_end(self) -> np.ndarray:
        """Holds a full stop, question mark or exclamation mark."""
        found = [any(c in SENTENCE_ENDS for c in t) for t in self.tokens]
        return np.array(found, dtype=bool) & ~self.is_special

    @_field("(n,)", "bool")
    def is_comma(self) -> np.ndarray:
        """Is a comma, semicolon or colon."""
        return np.array([t.strip() in (",", ";", ":") for t in self.tokens], dtype=bool)

    @_field("(n,)", "bool")
    def is_quote(self) -> np.ndarray:
        """Holds a double quotation mark."""
        return np.array([any(c in '"“”' for c in t) for t in self.tokens], dtype=bool)

    @_field("(n,)", "bool")
    def is_newline(self) -> np.ndarray:
        """Holds a line break."""
        return np.array(["\n" in t for t in self.tokens], dtype=bool)

    @_field("(n,)", "bool")
    def is_capitalised(self) -> np.ndarray:
        """Begins with a capital letter."""
        return np.array([t.strip()[:1].isupper() for t in self.tokens], dtype=bool)

    @_field("(n,)", "bool")
    def is_name(self) -> np.ndarray:
        """Begins with a capital letter though it does not begin a sentence, or repeats an earlier such token."""
        after_quote = np.append(False, self.is_quote[:-1] | self.is_special[:-1])
        opens = (self.position_in_sentence == 0) | after_quote | self.is_function_word | ~self.starts_word
        sure = self.is_capitalised & ~opens
        return (self.same_letters & sure[None, :] & (self.distance >= 0)).any(axis=1) & self.is_capitalised

    @_field("(n,)", "bool")
    def is_number(self) -> np.ndarray:
        """Holds a digit."""
        return np.array([any(c.isdigit() for c in t) for t in self.tokens], dtype=bool)

    @_field("(n,)", "bool")
    def is_function_word(self) -> np.ndarray:
        """An article, pronoun, preposition, conjunction or auxiliary verb, whatever its case."""
        return np.array([t.strip().lower() in FUNCTION_WORDS for t in self.tokens], dtype=bool)

    @_field("(n,)", "bool")
    def is_pronoun(self) -> np.ndarray:
        """A personal or possessive pronoun."""
        return np.array([t.strip().lower() in PRONOUNS for t in self.tokens], dtype=bool)

    @_field("(n,)", "bool")
    def is_article(self) -> np.ndarray:
        """Is a, an or the."""
        return np.array([t.strip().lower() in ARTICLES for t in self.tokens], dtype=bool)

    @_field("(n,)", "bool")
    def is_preposition(self) -> np.ndarray:
        """A preposition or particle, such as to, in, up."""
        return np.array([t.strip().lower() in PREPOSITIONS for t in self.tokens], dtype=bool)

    @_field("(n,)", "bool")
    def is_conjunction(self) -> np.ndarray:
        """A conjunction, such as and, but, so."""
        return np.array([t.strip().lower() in CONJUNCTIONS for t in self.tokens], dtype=bool)

    @_field("(n,)", "bool")
    def is_auxiliary(self) -> np.ndarray:
        """A form of be, do or have, or a modal verb."""
        return np.array([t.strip().lower() in AUXILIARIES for t in self.tokens], dtype=bool)

    @_field("(n,)", "int")
    def length(self) -> np.ndarray:
        """Number of characters without surrounding spaces."""
        return np.array([len(t.strip()) for t in self.tokens])

    # How tokens repeat.

    @_field("(n, n)", "bool")
    def same(self) -> np.ndarray:
        """Query and key are the same token; true on the diagonal."""
        return self.ids[:, None] == self.ids[None, :]

    @_field("(n, n)", "bool")
    def same_letters(self) -> np.ndarray:
        """Query and key are the same but for case and spaces; true on the diagonal."""
        _, index = np.unique([t.strip().lower() for t in self.tokens], return_inverse=True)
        return index[:, None] == index[None, :]

    @_field("(n, n)", "bool")
    def after_same(self) -> np.ndarray:
        """The key follows an earlier occurrence of the query token: where an induction head looks."""
        shifted = np.zeros((self.n, self.n), dtype=bool)
        shifted[:, 1:] = self.same[:, :-1]
        return shifted & (self.distance >= 0)

    @_field("(n, n)", "bool")
    def before_same(self) -> np.ndarray:
        """The key precedes an earlier occurrence of the query token."""
        shifted = np.zeros((self.n, self.n), dtype=bool)
        shifted[:, :-1] = self.same[:, 1:]
        return shifted & (self.distance >= 2)

    @_field("(n, n)", "bool")
    def same_previous(self) -> np.ndarray:
        """The token before the key is the token before the query; true on the diagonal."""
        shifted = np.zeros((self.n, self.n), dtype=bool)
        shifted[1:, 1:] = self.same[:-1, :-1]
        return shifted

    @_field("(n,)", "int")
    def occurrence(self) -> np.ndarray:
        """How often the same token came before."""
        return np.tril(self.same, -1).sum(axis=1)


def fields() -> list[Field]:
    """Every array of `Text` in the order of the source, for documentation, prompts and the genetic operator."""
    return [value.field for value in vars(Text).values() if isinstance(value, _Computed)]
