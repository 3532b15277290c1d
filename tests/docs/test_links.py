"""Every relative link and anchor of README.md, CONTRIBUTING.md, CHANGELOG.md and docs/ leads somewhere; every page is in the navigation."""

from __future__ import annotations

import re
from pathlib import Path

import doc_pages
import pytest
import yaml

LINK = re.compile(
    r"(?<!\\)!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|<img[^>]*\bsrc=\"([^\"]+)\""
)
FENCED = re.compile(r"^(\s*)```.*?^\1```\s*$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)
PAGES = [*doc_pages.pages(), *filter(Path.is_file, [doc_pages.ROOT / "CHANGELOG.md"])]
DOCS = doc_pages.ROOT / "docs"


def anchors_of(file: Path) -> set[str]:
    """Returns the ids of a page's headings, as GitHub and Python-Markdown give them."""
    text = FENCED.sub("", file.read_text(encoding="utf-8"))
    found = set(re.findall(r"\bid=\"([^\"]+)\"", text)) | set(re.findall(r"\{#([\w-]+)\}", text))
    seen: dict[str, int] = {}
    for heading in HEADING.findall(text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"\s*\{#.*\}$", "", heading))
        words = re.sub(r"[^\w\s-]", "", plain.replace("`", "")).strip().lower()
        for slug in (re.sub(r"\s", "-", words), re.sub(r"[-\s]+", "-", words)):
            number = seen.get(slug, 0)
            found |= {slug} if not number else {f"{slug}_{number}", f"{slug}-{number}"}
        seen[slug] = seen.get(slug, 0) + 1
    return found


@pytest.mark.parametrize("file", PAGES, ids=[str(p.relative_to(doc_pages.ROOT)) for p in PAGES])
def test_links_resolve(file):
    broken = []
    for groups in LINK.findall(re.sub(r"`[^`\n]*`", "", FENCED.sub("", file.read_text(encoding="utf-8")))):
        link = groups[0] or groups[1]
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (file.parent / name).resolve() if name else file
        if not target.exists():
            broken.append(f"{link}: there is no {target}")
        elif file.is_relative_to(DOCS) and not target.is_relative_to(DOCS):
            broken.append(f"{link}: leads out of the site")
        elif anchor and target.suffix == ".md" and anchor not in anchors_of(target):
            broken.append(f"{link}: {target.name} has no heading of that name")
    assert not broken, "\n".join(broken)


def _nav_pages(entries: list) -> list[str]:
    found = []
    for entry in entries:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            found += _nav_pages(value) if isinstance(value, list) else [value]
    return found


def test_every_page_is_in_the_navigation():
    stated = yaml.safe_load((doc_pages.ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    there = sorted(str(p.relative_to(DOCS)) for p in DOCS.rglob("*.md"))
    assert sorted(_nav_pages(stated["nav"])) == there


def test_the_site_fetches_nothing_from_elsewhere():
    stated = yaml.safe_load((doc_pages.ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert stated["theme"]["font"] is False
    assert not any(key in stated for key in ("extra_javascript", "extra_css"))


def test_the_readme_is_short():
    assert len((doc_pages.ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


PATH = re.compile(r"`((?:ftcli|tests|conf|recipes|benchmarks|docs)/[\w./-]*)`")
PLACE = re.compile(r"`([\w.]+)` in\s+`(ftcli/[\w/]+\.py)`")
EXAMPLES = re.compile(r"^(recipes/(mine|tickets)|conf/peft/lora-wide|tests/$)")
"""Files that a page lets its reader write."""


@pytest.mark.parametrize("file", PAGES, ids=[str(p.relative_to(doc_pages.ROOT)) for p in PAGES])
def test_files_and_names_of_the_code_are_there(file):
    text = FENCED.sub("", file.read_text(encoding="utf-8"))
    missing = {
        name
        for name in PATH.findall(text)
        if not (doc_pages.ROOT / name).exists() and not EXAMPLES.match(name)
    }
    for name, place in PLACE.findall(text):
        code = (
            (doc_pages.ROOT / place).read_text(encoding="utf-8") if (doc_pages.ROOT / place).is_file() else ""
        )
        for part in name.split("."):
            if not re.search(rf"^\s*(?:def|class) {part}\b", code, re.MULTILINE):
                missing.add(f"{name} in {place}")
    assert not missing
