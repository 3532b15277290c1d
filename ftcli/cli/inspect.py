"""ftcli list, ftcli config, ftcli doctor."""

from __future__ import annotations

from typing import Annotated

import typer

from ftcli.cli.run import Json, Words


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
    from ftcli.config.listing import catalogue
    from ftcli.console.console import Screen
    from ftcli.errors import ConfigError, Problem, did_you_mean
    from ftcli.peft._compatibility import failing, support_table

    listed = catalogue()
    if what is not None and what not in listed:
        raise ConfigError(Problem(what, "is nothing that can be listed", did_you_mean(what, listed)))
    shown = {what: listed[what]} if what else listed
    screen = Screen(as_json=as_json)
    for name, choices in shown.items():
        if name == "peft":
            rows = [(choice, text, failing(choice)) for choice, text in choices.items()]
            screen.table(name, ["name", "what", "tried, and does not train"], rows)
        else:
            screen.table(name, ["name", "what"], choices.items())
    if what == "peft":
        table = support_table()
        versions = ", ".join(f"{package} {version}" for package, version in table["versions"].items())
        tried = sorted({name for own in table["methods"].values() for name in own["architectures"]})
        screen.note(f"tried on {table['date']} with {versions}: {', '.join(tried)}, and every task")
        screen.result({"peft": shown["peft"], "support": table})
    else:
        screen.result(shown)


def config(words: Words = None, as_json: Json = False) -> None:
    """Print the configuration that recipe and words amount to, each value with its origin.

    Example: ftcli config recipe=sst2-lora optimizer.lr=5e-4
    """
    import sys

    from omegaconf import OmegaConf

    from ftcli.config.compose import load
    from ftcli.config.saved import render_config
    from ftcli.config.validate import problems_of
    from ftcli.console.console import safe
    from ftcli.errors import ConfigError

    composed = load(words or [])
    if as_json:
        import json

        values = OmegaConf.to_container(composed.values, resolve=True, enum_to_str=True)
        print(json.dumps({"recipe": composed.config.recipe, "choices": composed.config.choices, "values": values,
                          "origins": composed.origins, "notes": composed.notes}, ensure_ascii=False))  # fmt: skip
    else:
        sys.stdout.write("".join(f"# {safe(note)}\n" for note in composed.notes))
        sys.stdout.write(render_config(composed))
    problems = problems_of(composed.config)
    if problems:
        raise ConfigError(*problems)


def doctor(as_json: Json = False) -> None:
    """Check the installation, the hardware and the folders, and say how to mend what is wrong.

    Example: ftcli doctor
    """
    from ftcli.console.console import Screen
    from ftcli.diagnostics.doctor import examine

    screen = Screen(as_json=as_json)
    findings = examine()
    screen.table(
        "ftcli doctor",
        ["", "what", "found", "to mend"],
        [(f.mark, f.what, f.found, "" if f.ok else f.mend) for f in findings],
    )
    screen.result({f.what: {"ok": f.ok, "found": f.found, "mend": f.mend} for f in findings})
    if any(not f.ok for f in findings):
        raise typer.Exit(1)
