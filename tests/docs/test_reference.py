"""docs/reference.md is what the configuration classes say today, and says something of each key."""

from __future__ import annotations

import re
from dataclasses import fields

import doc_pages

from ftcli.config import reference
from ftcli.config.schema import ROLES, TrainerConfig

PAGE = doc_pages.ROOT / "docs" / "reference.md"


def test_the_page_is_current():
    assert PAGE.read_text(encoding="utf-8") == reference.page().rstrip() + "\n", "run make reference"


def test_every_key_has_a_text():
    rows = re.findall(r"^\| `([\w.]+)` \|.*\|(.*)\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) > 150
    assert [key for key, text in rows if not text.strip()] == []


def test_every_group_and_every_key_of_the_trainer_is_there():
    text = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == list(ROLES)
    assert all(f"| `trainer.{field.name}` |" in text for field in fields(TrainerConfig))


def test_what_a_yaml_sets_is_said():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    assert any(line.startswith("`dora` sets `peft.use_dora=true`") for line in lines)
    assert any(line.startswith("`sst2` sets `data.id=stanfordnlp/sst2`") for line in lines)
