"""What a token is, by its spelling alone: fields of `Text` that speak of one token, whatever stands around it."""

from __future__ import annotations

import numpy as np

from fitness.text.field import field
from fitness.text.word_classes import (
    ARTICLES,
    AUXILIARIES,
    CONJUNCTIONS,
    FUNCTION_WORDS,
    MARKS,
    OPERATOR_SIGNS,
    PREPOSITIONS,
    PRONOUNS,
    SENTENCE_ENDS,
)


class TokenClasses:
    """The part of `Text` that looks at spellings.

    Attributes:
        tokens: n strings as the model sees them, leading space kept.
    """

    tokens: tuple[str, ...]

    @field("(n,)", "bool")
    def is_special(self) -> np.ndarray:
        """A token such as [BOS] or [SEP] that the tokenizer added."""
        return np.array(
            [len(t) > 2 and (t[0] + t[-1]) in ("<>", "[]") and t.strip() == t for t in self.tokens], dtype=bool
        )

    @field("(n,)", "bool")
    def is_punctuation(self) -> np.ndarray:
        """Consists of punctuation marks."""
        found = [bool(t.strip()) and all(c in MARKS for c in t.strip()) for t in self.tokens]
        return np.array(found, dtype=bool) & ~self.is_special

    @field("(n,)", "bool")
    def is_sentence_end(self) -> np.ndarray:
        """Holds a full stop, question mark or exclamation mark."""
        found = [any(c in SENTENCE_ENDS for c in t) for t in self.tokens]
        return np.array(found, dtype=bool) & ~self.is_special

    @field("(n,)", "bool")
    def is_comma(self) -> np.ndarray:
        """Is a comma, semicolon or colon."""
        return np.array([t.strip() in (",", ";", ":") for t in self.tokens], dtype=bool)

    @field("(n,)", "bool")
    def is_quote(self) -> np.ndarray:
        """Holds a double quotation mark."""
        return np.array([any(c in '"“”' for c in t) for t in self.tokens], dtype=bool)

    @field("(n,)", "bool")
    def is_newline(self) -> np.ndarray:
        """Holds a line break."""
        return np.array(["\n" in t for t in self.tokens], dtype=bool)

    @field("(n,)", "bool")
    def is_blank(self) -> np.ndarray:
        """Consists of white space alone, such as a line break or an indentation."""
        return np.array([not t.strip() for t in self.tokens], dtype=bool)

    @field("(n,)", "bool")
    def is_operator(self) -> np.ndarray:
        """Consists of signs that compute, compare or assign, such as = or +."""
        found = [bool(t.strip()) and all(c in OPERATOR_SIGNS for c in t.strip()) for t in self.tokens]
        return np.array(found, dtype=bool) & ~self.is_special

    @field("(n,)", "bool")
    def is_letter(self) -> np.ndarray:
        """A single letter."""
        return np.array([len(t.strip()) == 1 and t.strip().isalpha() for t in self.tokens], dtype=bool)

    @field("(n,)", "bool")
    def is_content_word(self) -> np.ndarray:
        """Two or more letters that are no function word."""
        found = [len(t.strip()) > 1 and t.strip().isalpha() for t in self.tokens]
        return np.array(found, dtype=bool) & ~self.is_function_word

    @field("(n,)", "bool")
    def has_space(self) -> np.ndarray:
        """Begins with a space."""
        return np.array([t[:1] == " " for t in self.tokens], dtype=bool)

    @field("(n,)", "bool")
    def is_capitalised(self) -> np.ndarray:
        """Begins with a capital letter."""
        return np.array([t.strip()[:1].isupper() for t in self.tokens], dtype=bool)

    @field("(n,)", "bool")
    def is_number(self) -> np.ndarray:
        """Holds a digit."""
        return np.array([any(c.isdigit() for c in t) for t in self.tokens], dtype=bool)

    @field("(n,)", "bool")
    def is_function_word(self) -> np.ndarray:
        """An article, pronoun, preposition, conjunction or auxiliary verb, whatever its case."""
        return np.array([t.strip().lower() in FUNCTION_WORDS for t in self.tokens], dtype=bool)

    @field("(n,)", "bool")
    def is_pronoun(self) -> np.ndarray:
        """A personal or possessive pronoun."""
        return np.array([t.strip().lower() in PRONOUNS for t in self.tokens], dtype=bool)

    @field("(n,)", "bool")
    def is_article(self) -> np.ndarray:
        """Is a, an or the."""
        return np.array([t.strip().lower() in ARTICLES for t in self.tokens], dtype=bool)

    @field("(n,)", "bool")
    def is_preposition(self) -> np.ndarray:
        """A preposition or particle, such as to, in, up."""
        return np.array([t.strip().lower() in PREPOSITIONS for t in self.tokens], dtype=bool)

    @field("(n,)", "bool")
    def is_conjunction(self) -> np.ndarray:
        """A conjunction, such as and, but, so."""
        return np.array([t.strip().lower() in CONJUNCTIONS for t in self.tokens], dtype=bool)

    @field("(n,)", "bool")
    def is_auxiliary(self) -> np.ndarray:
        """A form of be, do or have, or a modal verb."""
        return np.array([t.strip().lower() in AUXILIARIES for t in self.tokens], dtype=bool)

    @field("(n,)", "int")
    def length(self) -> np.ndarray:
        """Number of characters without surrounding spaces."""
        return np.array([len(t.strip()) for t in self.tokens])
