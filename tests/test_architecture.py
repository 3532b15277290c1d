"""The rooms and who may enter which: held true on the code itself."""

import ast
from itertools import zip_longest
from pathlib import Path

import pytest

import ftcli

ROOT = Path(ftcli.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
ROLES = (
    "model",
    "tokenizer",
    "data",
    "task",
    "metric",
    "freezing",
    "peft",
    "optimizer",
    "scheduler",
    "logger",
)
SHARED = {"registry", "config", "errors", "source", "batching", "plan", "paths", "checkpoint"}


def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


@pytest.mark.parametrize(
    "file",
    [f for f in FILES if f.relative_to(ROOT).parts[0] in ROLES],
    ids=lambda f: str(f.relative_to(ROOT)),
)
def test_roles_import_only_what_is_shared(file):
    own = file.relative_to(ROOT).parts[0]
    rooms = {name.split(".")[1] for name in imports(file) if name.startswith("ftcli.")}
    assert rooms - SHARED - {own} == set()


def test_one_importer_of_typer_and_of_hydra():
    for file in FILES:
        names = {name.split(".")[0] for name in imports(file)}
        place = str(file.relative_to(ROOT))
        assert "typer" not in names or place.startswith("cli/"), place
        assert "hydra" not in names or place == "config/compose.py", place


def test_nothing_but_the_entry_point_imports_the_command_line():
    for file in FILES:
        place = str(file.relative_to(ROOT))
        if not place.startswith("cli/") and place != "__main__.py":
            assert not any(name.startswith("ftcli.cli") for name in imports(file)), place


def test_plan_and_batching_know_no_role():
    for folder in ("plan", "batching", "checkpoint"):
        for file in (ROOT / folder).glob("*.py"):
            rooms = {name.split(".")[1] for name in imports(file) if name.startswith("ftcli.")}
            assert not rooms & {*ROLES, "build", "trainer", "cli", "compose"}, file


def test_the_trainer_sees_no_yaml_and_no_registry():
    for file in (ROOT / "trainer").glob("*.py"):
        rooms = {name.split(".")[1] for name in imports(file) if name.startswith("ftcli.")}
        assert not rooms & {"registry", "compose", "build", "cli", "recording"}, file


@pytest.mark.parametrize("forbidden", ["pickle", "dill", "cloudpickle", "marshal"])
def test_no_pickle(forbidden):
    assert not [f for f in FILES if forbidden in {n.split(".")[0] for n in imports(f)}]


def test_nothing_loads_code():
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in ("torch.load", "eval", "exec", "hydra.utils.instantiate", "instantiate"), (
                    file,
                    node.lineno,
                )
                for keyword in node.keywords:
                    if keyword.arg == "trust_remote_code":
                        assert ast.unparse(keyword.value) == "False", (file, node.lineno)


def test_every_choice_has_its_module_and_every_recipe_says_where_its_numbers_are_from():
    from ftcli.config.choice import choices_of
    from ftcli.config.compose import load, recipes
    from ftcli.config.schema import ROLES as GROUPS

    for drawn in zip_longest(*(choices_of(role) for role in GROUPS)):
        chosen = {role: choice for role, choice in zip(GROUPS, drawn, strict=True) if choice is not None}
        assert (
            chosen.items()
            <= load([f"{role}={choice}" for role, choice in chosen.items()]).config.choices.items()
        )
    assert all(choices_of(role) for role in GROUPS)
    for name, file in recipes().items():
        assert load([f"recipe={name}"]).config.recipe == name
        assert file.read_text().startswith("#")
