"""No text of a recipe, an included file, a word, a saved configuration or a schedule reads the environment.

A canary stands in an environment variable. Each way either is refused or composes; the canary is in no value, message or
file name, and OmegaConf's resolvers are back afterwards.
"""

import itertools
import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ftcli.config.compose import load, restore
from ftcli.config.saved import read_config, render_config, restored
from ftcli.errors import FtcliError
from ftcli.plan.written import parse_schedule

CANARY = "canary-5f1c9b"
BASE = "defaults:\n  - base\n  - _self_\n"
READS = ("${oc.env:FTCLI_CANARY}", "${oc.decode:${oc.env:FTCLI_CANARY}}", "${env:FTCLI_CANARY}", "${hydra:runtime.cwd}", "${now:%Y}",
         "${oc.create:${oc.env:FTCLI_CANARY}}", "${oc.select:x,${oc.env:FTCLI_CANARY}}", "${ oc.env : FTCLI_CANARY }",
         "${oc.env:'FTCLI_CANARY'}", "a${oc.env:FTCLI_CANARY}b", "\\\\${oc.env:FTCLI_CANARY}", "${seed}", "${.id}", "${..seed}",
         "${${seed}}", "$${seed}", "${oc.dict.values:hydra.job}", "${python_version:}")  # fmt: skip
R = "${oc.env:FTCLI_CANARY}"
FORMS = {
    "plain": "model:\n  id: {}\n",
    "quoted": 'model:\n  id: "{}"\n',
    "single": "model:\n  id: '{}'\n",
    "comment": "model:\n  id: '{}'  # a comment\n",
    "in a list": "data:\n  label_names: ['{}', b]\n",
    "top level": "seed: '{}'\n",
}
RECIPES = [BASE + form.replace("{}", read) for form, read in itertools.product(FORMS.values(), READS)] + [
    BASE + text for text in (
        'model:\n  id: "\\x24{oc.env:FTCLI_CANARY}"\n', 'model:\n  id: "$\\u007boc.env:FTCLI_CANARY}"\n',
        'model:\n  id: "\\U00000024{oc.env:FTCLI_CANARY}"\n', 'model:\n  id: "$\\\n    {oc.env:FTCLI_CANARY}"\n',
        "model:\n  id: >-\n    ${oc.env:\n    FTCLI_CANARY}\n", "model:\n  id: |-\n    ${oc.env:FTCLI_CANARY}\n",
        "model:\n  id: '#${oc.env:FTCLI_CANARY}'\n", "model:\n  id: \"x # ${oc.env:FTCLI_CANARY}\"\n",
        "model:\n  revision: &a '${oc.env:FTCLI_CANARY}'\n  id: *a\n", "x: &a {id: '${oc.env:FTCLI_CANARY}'}\nmodel:\n  <<: *a\n",
        "model:\n  '${oc.env:FTCLI_CANARY}': 1\n", "'${oc.env:FTCLI_CANARY}':\n  id: x\n", "? '${oc.env:FTCLI_CANARY}'\n: 1\n",
        "model:\n  id: !!str '${oc.env:FTCLI_CANARY}'\n", "model:\n  id: !!binary JHtvYy5lbnY6RlRDTElfQ0FOQVJZfQ==\n",
        "model:\n  id: !!python/object/apply:os.getenv [FTCLI_CANARY]\n", "model:\n  id: !!python/name:os.environ\n",
        "model:\n  id: !!python/object/apply:pathlib.Path ['${oc.env:FTCLI_CANARY}']\n",
        "hydra:\n  job:\n    env_copy: [FTCLI_CANARY]\n", "hydra:\n  searchpath: ['file:///${oc.env:FTCLI_CANARY}']\n",
        "hydra:\n  run:\n    dir: ${oc.env:FTCLI_CANARY}\n", "model:\n  _target_: os.getenv\n", "model:\n  uses: ${oc.env:FTCLI_CANARY}\n",
    )
] + [
    f"defaults:\n  - base\n  - {entry}\n  - _self_\n" for entry in (
        f"override model: '{R}'", f"override optimizer: '{R}'", f"'{R}'", f"model@{R}: gpt2", "model@hydra.job: gpt2", "override hydra/launcher: basic",
        "override hydra/job_logging: none", "hydra: x", "model: ../../etc/passwd", "../outside", "/etc/passwd", "optional model: '${model}'",
        f"override model@{R}: gpt2", "override /model@_global_: gpt2", "[base]", "{model: [gpt2]}", "{model: gpt2, data: rte}", "'{model: gpt2'",
        f"override '{R}': x", "override model: ${oc.env:FTCLI_CANARY}  # no", "child",
    )
] + [f"# @package {package}\n{BASE}" for package in ("_global_", "hydra.job", R, "hydra")]  # fmt: skip
WORDS = [f"{key}={read}" for key in ("model.id", "optimizer.lr", "data.label_names", "recipe", "model") for read in READS] + [
    f"model.id='{R}'", f'model.id="{R}"', f"data.label_names=['{R}',b]", f"{R}=1", f"model.{R}=1", f"+model.x={R}", f"~{R}",
    "hydra.run.dir=/tmp", "hydra/launcher=basic", "+hydra.searchpath=[/etc]", "hydra.job.env_copy=[FTCLI_CANARY]", f"--config-dir={R}",
    "--config-dir=/etc", f"optimizer.layerwise.table=['{R}: 1']", f"task.metrics=[{R}]", f"peft={R}",
]  # fmt: skip
SCHEDULES = [f"0:\n  params: [head]\n  {line}\n" for read in READS[:6] for line in (
    f"scheduler: '{read}'", f"scheduler: {{name: linear, warmup: '{read}'}}", f"optimizer: {{name: adamw, eps: '{read}'}}",
    f"optimizer: {{name: adamw, no_decay: ['{read}']}}", f"layerwise: {{kind: table, table: ['{read}: 1']}}", f"monitor: '{read}'",
)]  # fmt: skip


@pytest.fixture(autouse=True)
def canary(monkeypatch, tmp_path):
    monkeypatch.setenv("FTCLI_CANARY", CANARY)
    monkeypatch.chdir(tmp_path)
    yield
    assert OmegaConf.has_resolver("oc.env"), "the resolvers of the process are as they were"


def shown(act) -> str:
    """Returns all that a user, a file or a network request would see."""
    try:
        composed = act()
    except FtcliError as error:
        return "\n".join(f"{p.key} {p.message} {p.hint}" for p in error.problems)
    return composed if isinstance(composed, str) else render_config(composed) + "\n".join(composed.notes)


def test_there_are_more_than_two_hundred_ways():
    assert len(RECIPES) + len(WORDS) + len(SCHEDULES) > 200


@pytest.mark.parametrize("text", RECIPES)
def test_recipes(text, tmp_path):
    Path("child.yaml").write_text(f"# @package hydra.job\nenv_copy: [FTCLI_CANARY]\nmodel:\n  id: {R}\n")
    Path("mine.yaml").write_text(text)
    seen = shown(lambda: load(["recipe=mine.yaml"]))
    assert CANARY not in seen and "${" not in seen.replace("${...}", "")
    assert not any(key in os.environ for key in ("FTCLI_COPY",))


@pytest.mark.parametrize("child", [f"model:\n  id: '{R}'\n", "# @package hydra\njob: {env_copy: [FTCLI_CANARY]}\n", "hydra: {job: {name: x}}\n",
                                   f"defaults: ['{R}']\n", "model: {_target_: os.getenv}\n"])  # fmt: skip
def test_included_recipes_and_choices_beside_them(child):
    Path("model").mkdir()
    for place in (Path("child.yaml"), Path("model/mine.yaml")):
        place.write_text(child)
    Path("one.yaml").write_text("defaults:\n  - base\n  - child\n  - _self_\n")
    Path("two.yaml").write_text("defaults:\n  - base\n  - override model: mine\n  - _self_\n")
    for name in ("one", "two"):
        with pytest.raises(FtcliError) as refused:
            load([f"recipe={name}.yaml"])
        assert CANARY not in str(refused.value)


@pytest.mark.parametrize("word", WORDS)
def test_words(word):
    with pytest.raises(FtcliError) as refused:
        load([word])
    assert CANARY not in "".join(f"{p.key}{p.message}{p.hint}" for p in refused.value.problems)


@pytest.mark.parametrize("read", READS)
def test_saved_configurations(read, tmp_path):
    composed = load([])
    text = render_config(composed)
    file = tmp_path / "config.yaml"
    for key in ("  path: null", "  id: null", f"recipe: {composed.config.recipe}", "  kind: none"):
        assert key in text
        file.write_text(text.replace(key, key.partition(":")[0] + f': "{read}"', 1))
        assert CANARY not in shown(lambda: restored(file, []))
    saved = read_config_of(text, tmp_path)
    saved["model"]["id"] = read  # past the file's own check
    assert CANARY not in shown(lambda: restore(saved, []))


def read_config_of(text: str, folder: Path) -> dict:
    (folder / "clean").mkdir()
    (folder / "clean/config.yaml").write_text(text)
    return read_config(folder / "clean/config.yaml")


@pytest.mark.parametrize("text", SCHEDULES)
def test_schedules(text):
    from plan_values import make_rates

    from ftcli.config.choice import plain_values
    from ftcli.plan.phase_rates import phase_rates

    def act():
        config = load([]).config
        rates = phase_rates(config, make_rates(), parse_schedule(text, "s.yaml"))
        return str(
            [(plain_values(one.optimizer.config), plain_values(one.scheduler.config)) for one in rates]
        )

    assert CANARY not in shown(act)
