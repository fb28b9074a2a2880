"""Simple programs that every campaign starts from and is measured against."""

from __future__ import annotations

from fitness.program import Program

_TEMPLATE = '''def program(text):
    """{doc}"""
    return {expression}
'''

_EXPRESSIONS = {
    "first_token": ("Rests on the first token.", "1.0 * (text.is_first & (text.distance >= 0))"),
    "previous_token": ("Looks at the previous token.", "1.0 * (text.distance == 1)"),
    "self": ("Looks at the token itself.", "1.0 * (text.distance == 0)"),
    "uniform": ("Spreads evenly over everything seen.", "1.0 * (text.distance >= 0)"),
    "recency_2": ("Fades with distance, by e over 2 tokens.", "np.exp(-np.abs(text.distance) / 2)"),
    "recency_8": ("Fades with distance, by e over 8 tokens.", "np.exp(-np.abs(text.distance) / 8)"),
    "recency_32": ("Fades with distance, by e over 32 tokens.", "np.exp(-np.abs(text.distance) / 32)"),
    "recency_2_and_first": (
        "Half fades with distance, by e over 2 tokens; half rests on the first token.",
        "0.39 * np.exp(-np.abs(text.distance) / 2) + 1.0 * text.is_first",
    ),
    "recency_8_and_first": (
        "Half fades with distance, by e over 8 tokens; half rests on the first token.",
        "0.12 * np.exp(-np.abs(text.distance) / 8) + 1.0 * text.is_first",
    ),
    "same_token": ("Looks at equal tokens.", "1.0 * text.same"),
}

_RANDOM = '''def program(text):
    """{doc}"""
    column = {column}
    return 1.0 * (np.arange(text.n) == column[:, None])
'''


def baselines() -> dict[str, Program]:
    """Name -> program: fixed patterns, and two random ones that anything must beat."""
    sources = {name: _TEMPLATE.format(doc=doc, expression=code) for name, (doc, code) in _EXPRESSIONS.items()}
    sources["random_token"] = _RANDOM.format(
        doc="Looks at a random token seen.", column="np.random.randint(text.position + 1)"
    )
    sources["random_column"] = _RANDOM.format(
        doc="Looks at one random token, the same for every query that sees it.",
        column="np.minimum(text.position, np.random.randint(text.n))",
    )
    return {name: Program.parse(source) for name, source in sources.items()}
