"""Source with its parts named, for a page: Python's own tokenizer says what is a comment, a string, a keyword."""

from __future__ import annotations

import io
import keyword
import tokenize

from markupsafe import Markup, escape

from fitness.printable import printable

_CLASSES = {tokenize.COMMENT: "k-comment", tokenize.STRING: "k-string", tokenize.NUMBER: "k-number"}


def highlighted(source: str | None) -> Markup:
    """Source as HTML: every character of it escaped, its parts in spans of our own classes.

    Args:
        source: what somebody wrote; what Python cannot read is shown plainly.

    Example:
        >>> str(highlighted("n < 1"))
        'n &lt; <span class="k-number">1</span>'
    """
    text = printable(source or "", lines=True)
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    parts: list[Markup] = []
    done = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            name = _CLASSES.get(token.type)
            if token.type == tokenize.NAME and keyword.iskeyword(token.string):
                name = "k-word"
            if name is None:
                continue
            begin, end = (starts[row - 1] + column for row, column in (token.start, token.end))
            parts += [escape(text[done:begin]), Markup('<span class="{}">{}</span>').format(name, text[begin:end])]
            done = end
    except (tokenize.TokenError, SyntaxError, IndexError):
        pass  # the rest is shown plainly
    return Markup("").join([*parts, escape(text[done:])])
