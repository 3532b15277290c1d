"""Every command on every page is run: README.md, CONTRIBUTING.md and docs/**/*.md.

What a writer of a page has to know:

* A block fenced ```sh holds commands. They run from top to bottom, page by page, in one temporary folder a page, and each must
  end with exit code 0. Another one is announced by a comment on the line above the block: `<!-- exit: 2 -->`.
* A block fenced ```console or ```text shows output; nothing in it is run.
* A block of another kind with a title is written to that file of the page's folder, before the commands below it:
  ```yaml title="recipes/mine.yaml"```, ```csv title="reviews.csv"```, ```python title="my_plugin/first_words.py"```.
* `ftcli` runs in this process. Whatever else may be run is in SHELL of tests/support/doc_runner.py; what is not run
  (installations, `make`) is in NOT_RUN there, with the reason. Pipes, `>`, `<`, `VARIABLE=value`, comments, heredocs and a `\\` at a line's end work as in a shell.
* `pip install -e ./DIR` of a folder that the page wrote is done: its entry points are there for the page's commands.
* Big models and data sets have stand-ins; the words stay as typed. A command runs with `model.path=` of a tiny model (of 6 blocks at
  most; `explain` and `generate-schedule` get as many as the real one has) and `trainer.max_steps=2`, where the page does not set these.
  Files and folders that `data.path=`, `data.files.*=`, `model.path=` and `--input` name and that the page did not make are filled with
  a tiny model, or tiny rows in the columns that the configuration asks for. So `data.path=DIR` and `data.files.train=train.csv` just work.
* RUN, run ids such as `3f2a91`, and `last` mean runs of the page, newest first; where the page has trained none, a tiny one is made.
  `ftcli export` proves its folder in this process.
* `trainer.device=cuda`, `trainer.precision=fp16` and the like are left out, for tests run on a CPU; so is `--push ID`.
* Wait for nothing and keep pages quick: a training command takes about half a second.
* `<!-- not-run: REASON -->` above a block leaves it out. It is for what no test can do; its words are composed all the same.

A page alone: `pytest tests/docs/test_commands.py -k recipes.md`
"""

from __future__ import annotations

import json
import re
import sys

import doc_pages
import doc_stand_ins as stand_ins
import pytest
from doc_runner import Page, forget_plugins
from doc_words import Refused

PAGES = doc_pages.pages()


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Returns a function: model choice -> folder of its tiny stand-in, written once a session."""
    folder = tmp_path_factory.mktemp("models")
    return lambda choice, deep=False: stand_ins.write_model(folder, choice, deep=deep)


@pytest.fixture
def page(ftcli, models, monkeypatch, tmp_path):
    from ftcli.export import parity, reload

    def here(folder, finished, inputs, ways):
        """As `in_fresh_process`, whose process takes seconds to begin."""
        file = tmp_path / "inputs.safetensors"
        inputs.save(file)
        outputs, report = reload.run(
            json.loads(json.dumps(parity.entry_of(folder, finished, inputs, ways, file)))
        )
        return {name: tensor.numpy() for name, tensor in outputs.items()}, report

    monkeypatch.setattr(parity, "in_fresh_process", here)
    known = set(sys.modules)
    yield Page(ftcli, models, monkeypatch, tmp_path)
    forget_plugins(known, tmp_path)


@pytest.mark.parametrize("file", PAGES, ids=[str(p.relative_to(doc_pages.ROOT)) for p in PAGES])
def test_commands_run(file, page):
    wrong = []
    for step in doc_pages.steps_of(file.read_text(encoding="utf-8")):
        try:
            code, said = page.take(step)
        except Refused as refused:
            wrong.append(f"{file}:{step.line}: {step.text}\n{refused}")
            continue
        if code != step.exit:
            wrong.append(f"{file}:{step.line}: {step.text}\nexit {code}, not {step.exit}\n{said[-3000:]}")
    assert not wrong, "\n\n".join(wrong)


def test_every_command_is_on_a_page():
    from ftcli.cli.app import app

    steps = [step.text for file in PAGES for step in doc_pages.steps_of(file.read_text(encoding="utf-8"))]
    shown = {word for text in steps for word in re.findall(r"\bftcli ([\w-]+)", text)}
    assert {command.name for command in app.registered_commands} <= shown
