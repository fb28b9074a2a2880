"""Code blocks of documentation pages, for tests that run them from there."""

import re

from campaigns import ROOT


def blocks(page, language="python"):
    """Code blocks of a page in docs/, in order."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
