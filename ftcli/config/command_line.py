"""The command that made a run, as it can be typed again: secrets in its words are masked."""

from __future__ import annotations

import re
import shlex

SECRETS = ("token", "password", "passwd", "secret", "apikey", "credentials")
QUERY = re.compile(r"([?&][^=&?\s]{1,200}=)[^&\s]+")
"""`?key=value` of an address. Bounded, as all here is: the words may be those of a command.txt of somebody else's."""
SECRET_QUERY = re.compile(r"token|secret|password|signature|key", re.IGNORECASE)
NO_SECRETS = ("trainer.token_budget",)


def command_line(command: str, words: list[str]) -> str:
    """Returns the command to type again, secrets masked.

    Args:
        command: such as `train`.
        words: its arguments.
    """
    return shlex.join(["ftcli", command, *(mask_secret(word) for word in words)])


def mask_secret(word: str) -> str:
    """Hides the value of a key that names a secret, and secrets inside addresses.

    A key names a secret by its parts: `hub.hf_token` does, `tokenizer.max_length` does not, nor `trainer.token_budget`.
    """
    key, sign, _ = word.partition("=")
    parts = re.split(r"[^a-z0-9]+", key.lower())
    if (
        sign
        and key not in NO_SECRETS
        and (
            any(part.endswith(SECRETS) for part in parts)
            or re.search(r"(api|access|private)_?key", key.lower())
        )
    ):
        return f"{key}=***"
    word = re.sub(r"((?<!\w)\w+://)[^/\s]+@", r"\1***@", word)
    word = QUERY.sub(lambda found: f"{found[1]}***" if SECRET_QUERY.search(found[1]) else found[0], word)
    return re.sub(r"\bhf_[A-Za-z0-9]{16,}", "hf_***", word)
