"""Source with its parts named, for a page: Python's own tokenizer says what is a comment, a string, a keyword."""

from __future__ import annotations

import io
import keyword
import tokenize

from markupsafe import Markup, escape

from fitness.printable import printable

CLASSES = ("k-comment", "k-string", "k-number", "k-word")
_COMMENT, _STRING, _NUMBER, _WORD = range(4)
_KINDS = {tokenize.COMMENT: _COMMENT, tokenize.STRING: _STRING, tokenize.NUMBER: _NUMBER}


def highlighted(source: str | None) -> Markup:
    """Source as HTML: every character of it escaped, its parts in spans of our own classes.

    Args:
        source: what somebody wrote; what Python cannot read is shown plainly.

    Example:
        >>> str(highlighted("n < 1"))
        'n &lt; <span class="k-number">1</span>'
    """
    text = printable(source or "", lines=True)
    parts: list[Markup] = []
    done = 0
    for kind, begin, end in _named(text):
        span = Markup('<span class="{}">{}</span>').format(CLASSES[kind], text[begin:end])
        parts += [escape(text[done:begin]), span]
        done = end
    return Markup("").join([*parts, escape(text[done:])])


def source_marks(source: str | None) -> list[int]:
    """The same for a script that puts the spans in once they are seen: three numbers for each part that has a name.

    Returns:
        its place in `CLASSES`, the characters since the end of the part before it, and its own; flat.

    Example:
        >>> source_marks("n < 1")
        [2, 4, 1]
    """
    found: list[int] = []
    done = 0
    for kind, begin, end in _named(printable(source or "", lines=True)):
        found += [kind, begin - done, end - begin]
        done = end
    return found


def _named(text: str) -> list[tuple[int, int, int]]:
    """(place in `CLASSES`, begin, end) of parts of a source, in order; up to where Python cannot read it."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found: list[tuple[int, int, int]] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            kind = _KINDS.get(token.type)
            if token.type == tokenize.NAME and keyword.iskeyword(token.string):
                kind = _WORD
            if kind is not None:
                begin, end = (starts[row - 1] + column for row, column in (token.start, token.end))
                found.append((kind, begin, end))
    except (tokenize.TokenError, SyntaxError, IndexError):
        pass  # the rest is shown plainly
    return found
