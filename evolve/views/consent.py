"""Asking the person at the terminal, once, whether a key may be sent where a configuration says."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.markup import escape

from evolve.config import Config
from evolve.running import llm_operators


def ask_for_keys(console: Console, config: Config) -> None:
    """Shows each address that a key is to be sent to for the first time, and asks.

    Args:
        console: where to ask.
        config: names the addresses and the environment variables that hold the keys.

    Raises:
        UserError: where the answer is no, or nobody is there to be asked.
    """
    if not llm_operators(config):
        return
    from operators.llm.client.keys import agreed, check_sent, public_url, remember_agreement

    for model in config.llm.models:
        if not agreed(model) and sys.stdin is not None and sys.stdin.isatty():
            asked = f"This configuration sends the content of {model.api_key_env} to {public_url(model)}."
            console.print(escape(asked), highlight=False)
            if console.input("Send it there, now and from now on? [bold](y/N)[/bold] ").strip().lower() in ("y", "yes"):
                remember_agreement(model)
        check_sent(model)
