"""Keys: read from the environment when a call is made, and kept out of everything that is shown or stored."""

from __future__ import annotations

import os
import re

from fitness.errors import UserError
from operators.llm.client.settings import ModelEntry

# Sent where an endpoint wants no key; left out, the openai package would send the one of OPENAI_API_KEY.
NO_KEY = "none"
HIDDEN = "[key]"


def api_key(entry: ModelEntry) -> str:
    """The key of an entry, from its environment variable.

    Raises:
        UserError: where the variable is not set, or holds what can be no key; the message never shows its content.
    """
    if entry.api_key_env is None:
        return NO_KEY
    key = os.environ.get(entry.api_key_env, "").strip()
    if not key:
        raise UserError(
            f"llm.models: {entry.model} wants a key in the environment variable {entry.api_key_env}, which is not set; "
            "set it, or leave api_key_env out for an endpoint that wants none"
        )
    if not re.fullmatch(r"[!-~]+", key):
        raise UserError(
            f"llm.models: the environment variable {entry.api_key_env} holds spaces or characters that no key has"
        )
    return key


def scrub(text: str, key: str) -> str:
    """The text without the key, and without passwords in addresses."""
    if key != NO_KEY:
        text = text.replace(key, HIDDEN)
    return re.sub(r"(\w+://)[^/\s@]+@", r"\1", text)


def public_url(entry: ModelEntry) -> str:
    """Address of an entry's endpoint, fit to be shown."""
    return scrub(entry.base_url or "the default address of the openai package", NO_KEY)
