"""ftcli list, ftcli config, ftcli doctor."""

from __future__ import annotations

from typing import Annotated

import typer

from ftcli.cli.options import Json, Words


def list_(
    what: Annotated[
        str | None,
        typer.Argument(
            help="recipe, model, tokenizer, data, task, freezing, peft, optimizer, scheduler, logger, metric"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the choices there are, with the first line of each file.

    Example: ftcli list recipe          ftcli list optimizer
    """
    from ftcli.console.console import Screen
    from ftcli.report.choices import show_choices

    screen = Screen(as_json=as_json)
    screen.result(show_choices(what, screen))


def config(words: Words = None, as_json: Json = False) -> None:
    """Print the configuration that recipe and overrides amount to, each value with its origin.

    Example: ftcli config recipe=sst2-lora optimizer.lr=5e-4
    """
    import sys

    from omegaconf import OmegaConf

    from ftcli.config.compose import load
    from ftcli.config.saved import render_config
    from ftcli.config.validate import problems_of
    from ftcli.console.console import json_text, safe, utf8_stdout
    from ftcli.errors import ConfigError

    composed = load(words or [])
    if as_json:
        values = OmegaConf.to_container(composed.values, resolve=True, enum_to_str=True)
        print(json_text({"recipe": composed.config.recipe, "choices": composed.config.choices, "values": values,
                          "origins": composed.origins, "notes": composed.notes}), file=utf8_stdout())  # fmt: skip
    else:
        sys.stdout.write("".join(f"# {safe(note)}\n" for note in composed.notes))
        text = render_config(composed)
        # A file gets it byte for byte; a terminal nothing that moves its cursor or turns its text.
        sys.stdout.write(safe(text) if sys.stdout.isatty() else text)
    problems = problems_of(composed.config)
    if problems:
        raise ConfigError(*problems)


def doctor(as_json: Json = False) -> None:
    """Check the installation, the hardware and the folders, and say how to fix what is wrong.

    Example: ftcli doctor
    """
    from ftcli.console.console import Screen
    from ftcli.diagnostics.doctor import examine

    screen = Screen(as_json=as_json)
    findings = examine()
    screen.table(
        "ftcli doctor",
        ["", "what", "found", "fix"],
        [(f.mark, f.what, f.found, "" if f.ok else f.fix) for f in findings],
    )
    screen.result({f.what: {"ok": f.ok, "found": f.found, "mend": f.fix} for f in findings})
    if any(not f.ok for f in findings):
        raise typer.Exit(1)
