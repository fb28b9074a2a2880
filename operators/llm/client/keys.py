"""Keys: read from the environment when a call is made, and kept out of everything that is shown or stored.

A configuration names the variable and the address, and may be anybody's: a key goes to an address that a person has
agreed to, once, to the openai package's default, to the service whose key the variable's name says it is, or to this
machine.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from fitness.errors import UserError
from operators.llm.client.endpoints import is_own_key
from operators.llm.client.settings import ModelEntry

# Sent where an endpoint wants no key; left out, the openai package would send the one of OPENAI_API_KEY.
NO_KEY = "none"
HIDDEN = "[key]"
# Addresses that keys may be sent to, apart by spaces: agreed to where nobody can be asked.
ENDPOINTS_VARIABLE = "HEADSCRIBE_ENDPOINTS"
# Strict, as addresses with backslashes or names before an @ are read in more than one way.
_HERE = re.compile(r"https?://(\w+:\w+@)?(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?(/[\w./-]*)?")


def api_key(entry: ModelEntry) -> str:
    """The key of an entry, from its environment variable.

    Raises:
        UserError: where the variable is not set, or holds what can be no key; the message never shows its content. And
            where nobody has agreed to the address.
    """
    if entry.api_key_env is None:
        return NO_KEY
    check_sent(entry)
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


def agreed(entry: ModelEntry) -> bool:
    """Whether the key of an entry, where it has one, may be sent to its address."""
    if entry.api_key_env is None or entry.base_url is None or _HERE.fullmatch(entry.base_url):
        return True
    if is_own_key(entry.base_url, entry.api_key_env):
        return True
    if public_url(entry) in os.environ.get(ENDPOINTS_VARIABLE, "").split():
        return True
    try:
        return _line(entry) in _agreements().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False


def remember_agreement(entry: ModelEntry) -> None:
    """Remembers that a person agreed to send this key to this address; not asked again."""
    place = _agreements()
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("a", encoding="utf-8") as file:
        file.write(_line(entry) + "\n")


def check_sent(entry: ModelEntry) -> None:
    """Refuses to send a key to an address that nobody has agreed to.

    Raises:
        UserError: saying how to agree.
    """
    if not agreed(entry):
        address = public_url(entry)
        raise UserError(
            f"llm.models: the configuration sends the content of {entry.api_key_env} to {address}, to which nobody "
            f"here has agreed; run headscribe check at a terminal, or set {ENDPOINTS_VARIABLE}={address}"
        )


def _agreements() -> Path:
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "headscribe" / "endpoints"


def _line(entry: ModelEntry) -> str:
    return " ".join(f"{entry.api_key_env} {public_url(entry)}".split())


def scrub(text: str, key: str) -> str:
    """The text without the key, and without passwords in addresses."""
    if key != NO_KEY:
        text = text.replace(key, HIDDEN)
    return re.sub(r"(\w+://)[^/\s@]+@", r"\1", text)


def public_url(entry: ModelEntry) -> str:
    """Address of an entry's endpoint, fit to be shown."""
    return scrub(entry.base_url or "the default address of the openai package", NO_KEY)
