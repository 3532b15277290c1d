"""The packages of ftcli and which of them may import which, checked on the code itself."""

import ast
from itertools import zip_longest
from pathlib import Path

import pytest
from structure import LAYER, LAYERS, Structure, cycles, imports, package_of

import ftcli

ROOT = Path(ftcli.__file__).parent
STRUCTURE = Structure(ROOT)
FILES = STRUCTURE.files
ROLES = LAYERS[3] - {"trainer"} | {"logger", "metric"}


def test_no_module_lies_beside_the_packages():
    assert not STRUCTURE.loose
    packages = {p.name for p in ROOT.iterdir() if (p / "__init__.py").is_file()}
    assert packages <= set(LAYER), "a new package states its layer in tests/support/structure.py"


def test_imports_run_down_only():
    assert not STRUCTURE.upward


def test_no_role_imports_another():
    """Roles meet in ftcli/run/; what two of them share lies in plan, batching or config."""
    mixed = [
        (module, other)
        for module, others in STRUCTURE.edges.items()
        for other in others
        if package_of(module) in ROLES and package_of(other) in (ROLES | {"trainer"}) - {package_of(module)}
    ]
    assert not mixed


def test_no_cycle():
    assert cycles(STRUCTURE.edges) == []
    assert cycles(STRUCTURE.packages) == []
    assert len(STRUCTURE.packages) <= 30 and sum(map(len, STRUCTURE.packages.values())) <= 140


def test_every_public_function_with_arrays_states_their_shapes():
    stated, missing = STRUCTURE.shapes()
    assert stated and not missing


def test_a_cycle_is_found():
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_one_importer_of_typer_and_of_hydra():
    for file in FILES:
        names = {name.split(".")[0] for name in imports(file)}
        place = str(file.relative_to(ROOT))
        assert "typer" not in names or place.startswith("cli/"), place
        assert "hydra" not in names or place.startswith("config/"), place


def test_nothing_but_the_entry_point_imports_the_command_line():
    for file in FILES:
        place = str(file.relative_to(ROOT))
        if not place.startswith("cli/") and place != "__main__.py":
            assert not any(name.startswith("ftcli.cli") for name in imports(file)), place


def test_the_trainer_sees_no_yaml_and_no_registry():
    for file in (ROOT / "trainer").rglob("*.py"):
        names = {name for name in imports(file) if name.startswith("ftcli.config")}
        assert not any(
            name.startswith("ftcli.config.") and not name.startswith("ftcli.config.schema") for name in names
        ), file


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
    from ftcli.config.compose import load
    from ftcli.config.recipes import recipes
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
