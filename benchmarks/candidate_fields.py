"""Fields that `Text` could have, for `benchmarks.residuals` to try: keys (n,), queries (n, 1) or pairs (n, n)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fitness.text.view import Text

Candidate = Callable[[Text], np.ndarray]


def after(marked: np.ndarray) -> np.ndarray:
    """(n,) bool: the token before is marked."""
    return np.concatenate([[False], marked[:-1]])


def before(text: Text, marked: np.ndarray) -> np.ndarray:
    """(n, n) bool: the token after the key is marked, and lies at or before the query."""
    following = np.concatenate([marked[1:], [False]])
    return following[None, :] & (text.distance > 0)


def equal(values: np.ndarray) -> np.ndarray:
    """(n, n) bool: query and key have the same value."""
    return values[:, None] == values[None, :]


def between(values: np.ndarray) -> np.ndarray:
    """(n, n): how far the values of query and key lie apart."""
    return np.abs(values[:, None] - values[None, :])


def shifted(pairs: np.ndarray, by: int) -> np.ndarray:
    """(n, n) bool: true of the query and the token so many before the key."""
    return np.pad(pairs, ((0, 0), (by, 0)))[:, : pairs.shape[1]]


def latest(pairs: np.ndarray) -> np.ndarray:
    """(n, n) bool: the last key of each row of which it is true."""
    counted = np.cumsum(pairs[:, ::-1], axis=1)[:, ::-1]
    return pairs & (counted == 1)


def kind(text: Text) -> np.ndarray:
    """(n,) int: which of the classes of tokens are true of a token."""
    names = (
        "is_punctuation is_comma is_sentence_end is_newline is_blank is_operator has_space is_capitalised is_number "
        "is_pronoun is_article is_preposition is_conjunction is_auxiliary is_content_word starts_word opens_bracket "
        "closes_bracket is_quote"
    )
    return sum(
        (getattr(text, name).astype(int) << place for place, name in enumerate(names.split())),
        start=np.zeros(text.n, int),
    )


def ends(text: Text, *endings: str) -> np.ndarray:
    """(n,) bool: a word of four letters or more with one of the endings."""
    stripped = [token.strip().lower() for token in text.tokens]
    return np.array([len(token) > 3 and token.isalpha() and token.endswith(endings) for token in stripped])


def depth(text: Text) -> np.ndarray:
    """(n,) int: brackets open at a token."""
    return np.cumsum(text.opens_bracket.astype(int) - text.closes_bracket.astype(int))


def quoted(text: Text) -> np.ndarray:
    """(n,) int: whether an odd number of quotation marks came so far."""
    return np.cumsum(text.is_quote) % 2


def since(marked: np.ndarray) -> np.ndarray:
    """(n,) int: how many tokens ago the last marked one was, itself included; from the beginning where none was."""
    place = np.arange(len(marked))
    return place - np.maximum.accumulate(np.where(marked, place, 0))


def indent(text: Text) -> np.ndarray:
    """(n,) int: white space that the line of a token began with, as far as it has been read."""
    found, width, begun = [], 0, False
    for token, newline in zip(text.tokens, text.is_newline, strict=True):
        if newline:
            width, begun = len(token.rpartition("\n")[2]), False
        elif not begun and not token.strip():
            width += len(token)
        elif not begun:
            width += len(token) - len(token.lstrip(" "))
            begun = True
        found.append(width)
    return np.array(found)


def repeated(text: Text) -> np.ndarray:
    """(n, n) bool: the key's token came again after it, at or before the query."""
    again = np.triu(text.same, 1)  # [j, k]: k > j holds the same token as j
    return np.asarray(np.cumsum(again, axis=1).T > 0)


def matched(text: Text, lengths: int) -> np.ndarray:
    """(n, n) bool: the tokens before the key repeat the query and what came before it, this many tokens."""
    found = text.after_same
    for _ in range(lengths - 1):
        shifted = np.zeros_like(found)
        shifted[1:, 1:] = found[:-1, :-1]
        found = found & shifted
    return found


def stem(text: Text) -> np.ndarray:
    """(n, n) bool: same first four letters, whatever their case, and not the same token."""
    stems = np.array(
        [token.strip().lower()[:4] if len(token.strip()) > 3 else f"{place}" for place, token in enumerate(text.tokens)]
    )
    return equal(stems) & ~text.same


CANDIDATES: dict[str, Candidate] = {
    # How common a token is: byte-pair encodings number what they merge first, which is what is frequent, lowest.
    "log of the key's token id": lambda text: np.log1p(text.ids),
    "key's id over 2,000": lambda text: text.ids > 2000,
    "key's id over 10,000": lambda text: text.ids > 10_000,
    "log of the query's id, on the first token": lambda text: np.log1p(text.ids)[:, None] * text.is_first,
    "key's id over the query's": lambda text: text.ids[None, :] > text.ids[:, None],
    # What stands beside the key.
    "key after a comma": lambda text: after(text.is_comma),
    "key after a sentence's end": lambda text: after(text.is_sentence_end),
    "key after a line break": lambda text: after(text.is_newline),
    "key after an article": lambda text: after(text.is_article),
    "key after a preposition": lambda text: after(text.is_preposition),
    "key after a pronoun": lambda text: after(text.is_pronoun),
    "key after an opening bracket": lambda text: after(text.opens_bracket),
    "key after a capitalised token": lambda text: after(text.is_capitalised),
    "key before punctuation": lambda text: before(text, text.is_punctuation),
    "key before a sentence's end": lambda text: before(text, text.is_sentence_end),
    "key before a function word": lambda text: before(text, text.is_function_word),
    "key before a line break": lambda text: before(text, text.is_newline),
    "key before an opening bracket": lambda text: before(text, text.opens_bracket),
    "key ends its word": lambda text: before(text, text.starts_word),
    "key's word goes on": lambda text: before(text, ~text.starts_word),
    # Classes that agree.
    "same class": lambda text: equal(kind(text)),
    "same class before": lambda text: equal(np.concatenate([[-1], kind(text)[:-1]])),
    "latest of the query's class": lambda text: latest(equal(kind(text)) & (text.distance > 0)),
    "key after one of the query's class": lambda text: shifted(equal(kind(text)), 1) & (text.distance > 0),
    "same length": lambda text: equal(text.length),
    # Repetition.
    "key came again since": repeated,
    "induction over two tokens": lambda text: matched(text, 2),
    "induction over three tokens": lambda text: matched(text, 3),
    "induction by letters": lambda text: shifted(text.same_letters, 1) & (text.distance > 0),
    "two after the same": lambda text: shifted(text.same, 2) & (text.distance > 1),
    "same stem, other token": stem,
    "key is new": lambda text: text.occurrence == 0,
    # Words.
    "key ends in -ed": lambda text: ends(text, "ed"),
    "key ends in -ing": lambda text: ends(text, "ing"),
    "key ends in -s": lambda text: ends(text, "s"),
    "key ends in -ly": lambda text: ends(text, "ly"),
    "log of the key's length": lambda text: np.log1p(text.length),
    "key has capitals alone": lambda text: np.array([token.strip().isupper() for token in text.tokens]),
    "key has no letter or digit": lambda text: np.array([not any(c.isalnum() for c in token) for token in text.tokens]),
    # Structure.
    "same depth of brackets": lambda text: equal(depth(text)),
    "depth of the key's brackets": depth,
    "key outside the query's brackets": lambda text: depth(text)[None, :] < depth(text)[:, None],
    "same side of quotation marks": lambda text: equal(quoted(text)),
    "key within quotation marks": quoted,
    "same indentation": lambda text: equal(indent(text)),
    "key indented less": lambda text: indent(text)[None, :] < indent(text)[:, None],
    "same place in line": lambda text: equal(since(text.is_newline)),
    "same place in sentence": lambda text: equal(text.position_in_sentence),
    "same place since punctuation": lambda text: equal(since(text.is_punctuation)),
    "log of key's place in sentence": lambda text: np.log1p(text.position_in_sentence),
    "log of key's place in line": lambda text: np.log1p(since(text.is_newline)),
    "log of key's place since punctuation": lambda text: np.log1p(since(text.is_punctuation)),
    "same clause": lambda text: equal(np.cumsum(after(text.is_punctuation))),
    "clauses between, logarithm": lambda text: np.log1p(between(np.cumsum(after(text.is_punctuation)))),
    "words between, logarithm": lambda text: np.log1p(np.abs(text.word_distance)),
    "sentences between, logarithm": lambda text: np.log1p(np.abs(text.sentence_distance)),
    # Place.
    "log of the key's position": lambda text: text.log_position,
    "key's share of the way": lambda text: text.position[None, :] / (text.position[:, None] + 1),
    "key among the first four": lambda text: (text.position > 0) & (text.position < 4),
    "key second": lambda text: text.position == 1,
    "query's position on the first token": lambda text: text.log_position[:, None] * text.is_first,
    "square of log distance": lambda text: text.log_distance**2,
}
