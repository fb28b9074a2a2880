"""Endpoints by their addresses: whose they are, whether they are somebody else's machine, and where their keys lie."""

from __future__ import annotations

import ipaddress
from collections.abc import Container
from urllib.parse import urlsplit

# OpenAI-compatible endpoints, and the environment variables that their own libraries read keys from.
KEY_VARIABLES = {
    "https://api.openai.com/v1": "OPENAI_API_KEY",
    "https://api.anthropic.com/v1": "ANTHROPIC_API_KEY",
    "https://generativelanguage.googleapis.com/v1beta/openai": "GEMINI_API_KEY",
    "https://openrouter.ai/api/v1": "OPENROUTER_API_KEY",
}
OTHERWISE = "OPENAI_API_KEY"


def is_hosted(base_url: str | None) -> bool:
    """Whether an endpoint is a service on the internet, rather than this machine or one of its network.

    Example:
        >>> is_hosted("https://openrouter.ai/api/v1"), is_hosted("http://192.168.1.7:8000/v1")
        (True, False)
    """
    if base_url is None:
        return True
    try:
        host = urlsplit(base_url).hostname or ""
    except ValueError:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # Names without a dot are those of machines nearby and of containers.
        return "." in host and not host.endswith((".local", ".internal", ".lan", ".localhost"))
    return not address.is_private


def key_variable(base_url: str | None, environment: Container[str]) -> str | None:
    """The variable that the key of an endpoint is usually kept in; None where it wants none.

    A service that is not known is sent the key of `OPENAI_API_KEY`, where that is set.

    Example:
        >>> key_variable("https://openrouter.ai/api/v1/", {})
        'OPENROUTER_API_KEY'
    """
    if not is_hosted(base_url):
        return None
    known = OTHERWISE if base_url is None else KEY_VARIABLES.get(base_url.rstrip("/"))
    return known or (OTHERWISE if OTHERWISE in environment else None)


def is_own_key(base_url: str | None, variable: str) -> bool:
    """Whether a variable holds, by its name, the key of the very service that an address is of."""
    return base_url is not None and KEY_VARIABLES.get(base_url.rstrip("/")) == variable
