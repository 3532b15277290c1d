"""What to type instead of a word of another tool."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ftcli.errors import typed_words

Typed = Mapping[str, str]
"""Keys (lower case, underscores) and values of the whole command: some conversions need two words."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What to type instead of a word of another tool."""

    words: tuple[str, ...] = ()
    """Shell words that compose as they stand; empty where nothing here does what was asked."""
    note: str = ""
    """What else to know; the whole answer where there are no words."""
    needs: str = ""
    """Choice under which the words exist, such as `peft=lora`; typed too unless the run has it already."""

    def hint(self, known: Collection[str] = (), typed: Typed | None = None) -> str:
        """Returns the line below a problem, such as `type optimizer.lr=5e-5`, quoted for a shell.

        Args:
            known: our keys under the choices of the run.
            typed: the other words of the command.
        """
        if not self.words:
            return self.note
        shown = typed_words(*self._complete(known, typed or {}))
        return f"type {shown}" + (f" ({self.note})" if self.note else "")

    def _complete(self, known: Collection[str], typed: Typed) -> tuple[str, ...]:
        if self.needs == "data=text":  # every choice of `data` has these keys; one that was chosen stays
            present = bool({"data", "recipe"} & typed.keys())
        else:
            present = all(word.partition("=")[0] in known for word in self.words)
        return self.words if present or not self.needs else (self.needs, *self.words)
