"""Runs the steps of one page of the documentation, with stand-ins for big models and data sets."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import doc_pages
import doc_stand_ins as stand_ins
import pytest
from doc_words import Refused, load_words, places_of_runs

NOT_RUN = {
    "python3 -m venv": "makes an environment; CI begins with it",
    ". .venv/bin/activate": "the tests' own environment is active",
    "source .venv/bin/activate": "the tests' own environment is active",
    "pip install": "needs a package index; CI begins with it",
    "git clone": "needs a network",
    "cd ftcli": "the folder of the clone",
    "tensorboard": "a server that waits for a browser",
    "hf auth login": "asks for a password",
    "python benchmarks/": "takes minutes; the file has to be there",
    "OMP_NUM_THREADS=1 python benchmarks/": "takes minutes; the file has to be there",
    "pytest": "tests do not run tests",
    "OMP_NUM_THREADS=1 pytest": "tests do not run tests",
    "ruff": "make lint runs it",
    "mypy": "make types runs it",
}
"""Beginnings of commands that are not run, with the reason; of `make`, the target has to be in the Makefile."""
SHELL = ("cat", "ls", "head", "tail", "mkdir", "cp", "mv", "rm", "echo", "printf", "wc", "grep", "cut", "sort", "jq", "test")  # fmt: skip
COMPOSED = ("train", "overfit-batch", "check-data", "explain", "generate-schedule")
"""Commands whose arguments are overrides and that read a model."""
PLANS = ("explain", "generate-schedule")
READS_ROWS = ("train", "overfit-batch", "check-data")
OF_RUNS = ("resume", "evaluate", "predict", "compare", "export")
HARDWARE = re.compile(r"trainer\.(device=(cuda|mps)|precision=(fp16|bf16))$")


class Page:
    """Takes the steps of one page in a folder of its own."""

    def __init__(self, ftcli: Any, models: Any, monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
        self.ftcli, self.models, self.monkeypatch, self.place = ftcli, models, monkeypatch, place
        self.filled: set[str] = set()
        """Files and folders that stand-ins were written to."""
        self.trained: tuple[dict[str, Any], str] | None = None
        """Configuration and task of the last training command."""

    def take(self, step: doc_pages.Step) -> tuple[int, str]:
        """Returns exit code and what was printed."""
        if step.file:
            Path(step.file).parent.mkdir(parents=True, exist_ok=True)
            Path(step.file).write_text(step.text, encoding="utf-8")
            return 0, ""
        if self._not_run(step.text):
            return step.exit, ""
        if step.reason:
            self._compose_only(step.text)
            return step.exit, ""
        if "<<" in step.text:
            return self._shell(step.text)
        return self._pipeline(shlex.shlex(step.text, posix=True, punctuation_chars="|<>"))

    def _not_run(self, text: str) -> bool:
        if text.startswith("make"):
            targets = (doc_pages.ROOT / "Makefile").read_text()
            for word in shlex.split(text, comments=True)[1:]:
                if "=" not in word and f"\n{word}:" not in targets:
                    raise Refused(f"the Makefile has no target {word}")
            return True
        if text.startswith("pip install -e ."):
            self._install(Path(shlex.split(text, comments=True)[-1]))
            return True
        begins = next((begins for begins in NOT_RUN if text.startswith(begins)), "")
        if begins.endswith("benchmarks/"):
            file = text[len(begins) - len("benchmarks/") :].split()[0]
            if not (doc_pages.ROOT / file).is_file():
                raise Refused(f"there is no {file}")
        return bool(begins)

    def _install(self, folder: Path) -> None:
        """Makes a folder with a pyproject.toml an installed distribution, as importlib.metadata finds it on the path."""
        if not (folder / "pyproject.toml").is_file():
            return  # ftcli itself
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        site = self.place / "site"
        info = site / f"{project['name'].replace('-', '_')}-0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0\n")
        groups = project["entry-points"].items()
        lines = [
            f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in entries.items()) for group, entries in groups
        ]
        (info / "entry_points.txt").write_text("".join(lines))
        self.monkeypatch.syspath_prepend(str(site))
        self.monkeypatch.syspath_prepend(str(folder.resolve()))

    def _compose_only(self, text: str) -> None:
        words = shlex.split(text, comments=True)
        if words[:1] == ["ftcli"] and words[1] in COMPOSED:
            load_words(words[2:])

    def _pipeline(self, lexer: shlex.shlex) -> tuple[int, str]:
        lexer.whitespace_split = True
        stages: list[list[str]] = [[]]
        for word in lexer:
            if word == "|":
                stages.append([])
            else:
                stages[-1].append(word)
        code, said, given = 0, "", ""
        for stage in stages:
            code, given, err = self._stage(stage, given)
            said += given + err
            if code:
                break
        return code, said

    def _stage(self, words: list[str], given: str) -> tuple[int, str, str]:
        """Runs one command of a pipe; returns exit code, stdout, stderr."""
        target = ""
        while len(words) > 2 and words[-2] in ("<", ">"):
            if words[-2] == "<":
                self._fill_input(words[-1])
                given = Path(words[-1]).read_text()
            else:
                target = words[-1]
            words = words[:-2]
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            name, _, value = words[0].partition("=")
            self.monkeypatch.setenv(name, os.path.expandvars(value))
            words = words[1:]
        if words[:1] == ["ftcli"]:
            self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
            done = self.ftcli(*self._with_stand_ins(words[1:]))
            code, out, err = done.code, done.out, done.err
        elif words[:1] == ["cd"]:
            os.chdir(words[1])
            return 0, "", ""
        elif words and words[0] in SHELL:
            found = subprocess.run(words, input=given, capture_output=True, text=True, timeout=20)
            code, out, err = found.returncode, found.stdout, found.stderr
        else:
            raise Refused("this command is neither run nor listed in NOT_RUN of tests/support/doc_runner.py")
        if target:
            Path(target).write_text(out)
        return code, out, err

    def _shell(self, text: str) -> tuple[int, str]:
        if text.split()[0] not in SHELL:
            raise Refused("a heredoc is for cat")
        found = subprocess.run(["bash", "-ec", text], capture_output=True, text=True, timeout=20)
        return found.returncode, found.stdout + found.stderr

    def _with_stand_ins(self, words: list[str]) -> list[str]:
        if not words:
            return words
        command, rest = words[0], [w for w in words[1:] if not HARDWARE.match(w)]
        if "--push" in rest:
            at = rest.index("--push")
            del rest[at : at + 2]
        if "--help" in rest or "-h" in rest:
            return words
        if command in COMPOSED:
            return [command, *self._composed(command, rest)]
        if command in OF_RUNS:
            return [command, *self._of_runs(command, rest)]
        return words

    def _composed(self, command: str, words: list[str]) -> list[str]:
        """Returns the words with a tiny model, tiny rows and few steps; as they are where they are wrong."""
        try:
            values, choices = load_words(words)
        except Refused:
            return words
        typed = {word.partition("=")[0] for word in words}
        extra = self._place_model(values["model"]["path"], choices, deep=command in PLANS)
        if command in READS_ROWS:
            given = self._made_by_the_page(values["data"])
            extra |= stand_ins.write_data(
                values, choices["task"], given, self.place / "rows" / choices["data"]
            )
        if command == "train":
            extra["trainer.max_steps"] = "2"
            self.trained = values, choices["task"]
        return [*words, *(f"{key}={value}" for key, value in extra.items() if key not in typed)]

    def _place_model(self, named: str | None, choices: dict[str, str], *, deep: bool) -> dict[str, str]:
        """Puts a tiny model where the page names one, or returns the word that names it."""
        image = choices["task"] == "image-classification"
        folder = self.models("vit-base" if image and choices["model"] == "local" else choices["model"], deep)
        if named is None:
            return {"model.path": str(folder)}
        target = Path(named) if not named.endswith(".json") else Path(named).parent
        if target.is_symlink():  # another command's stand-in
            target.unlink()
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(folder)
        return {}

    def _made_by_the_page(self, data: dict[str, Any]) -> set[str]:
        """Returns the named files and folders that are there and no stand-ins, and keeps the others in mind."""
        named = {file for file in (data["path"], *data["files"].values()) if file}
        given = {file for file in named if Path(file).exists()} - self.filled
        self.filled |= named - given
        return given

    def _of_runs(self, command: str, words: list[str]) -> list[str]:
        """Returns the words with runs that exist in the places of RUN and ids."""
        places = places_of_runs(command, words)
        newest = self._runs(sum(words[at] != "last" and not Path(words[at]).exists() for at in places) or 1)
        for at in places:
            if words[at] != "last" and not Path(words[at]).exists():
                words[at] = newest.pop(0)
        if command == "predict":
            for option in ("--input", "-i"):
                if option in words:
                    self._fill_input(words[words.index(option) + 1])
        return words

    def _runs(self, count: int) -> list[str]:
        """Returns the page's newest runs, of which it makes as many as are missing."""
        found = sorted(Path("runs").glob("*/*/config.yaml"), key=lambda p: p.parent.name, reverse=True)
        found = [mark for mark in found if (mark.parent / "result.json").is_file()]
        for number in range(count - len(found)):
            words = self._composed("train", [f"seed={number}"])
            done = self.ftcli("train", *words)
            assert done.code == 0, done.err
        if len(found) < count:
            return self._runs(count)
        return [str(mark.parent) for mark in found]

    def _fill_input(self, name: str) -> None:
        """Writes rows to predict where the page names a file that is not there."""
        if name == "-" or Path(name).exists():
            return
        values, task = self.trained or (None, "")
        if values is None:
            self._runs(1)
            assert self.trained
            values, task = self.trained
        plain = values | {"data": values["data"] | {"format": "auto"}}
        stand_ins.write_file(Path(name), "test", plain, task, labels=False)


def forget_plugins(known: set[str], place: Path) -> None:
    """Takes what a page's own packages registered out of this process again."""
    from ftcli.config import registry

    for name in sys.modules.keys() - known:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(place)):
            for key, entry in list(registry._ENTRIES.items()):
                if entry.build.__module__ == name:
                    del registry._ENTRIES[key]
            del sys.modules[name]
