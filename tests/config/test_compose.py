"""Words and recipes: everything checked, every mistake named, origins known."""

import pytest

from ftcli.config.compose import load
from ftcli.config.saved import differences, render_config, restored
from ftcli.config.schema import RunConfig
from ftcli.errors import ConfigError


def problems(*words: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load(list(words))
    return {p.key: f"{p.message} | {p.hint}" for p in caught.value.problems}


def test_all_mistakes_come_at_once_with_the_nearest_name():
    found = problems(
        "optimizer.lrr=1",
        "freezing=hed-only",
        "trainer.epoch=2",
        "trainer.batch_size=many",
        "seed=x",
        "modle.path=y",
    )
    assert set(found) == {
        "optimizer.lrr",
        "freezing",
        "trainer.epoch",
        "trainer.batch_size",
        "seed",
        "modle.path",
    }
    assert "optimizer.lr" in found["optimizer.lrr"] and "head-only" in found["freezing"]
    assert "trainer.epochs" in found["trainer.epoch"] and "whole number" in found["trainer.batch_size"]
    assert "model.path" in found["modle.path"]


@pytest.mark.parametrize("word", ["seed=-1", "seed=9223372036854775808", "seeds=[1,99999999999999999999999]"])
def test_a_seed_that_no_generator_takes_is_refused(word):
    assert word.partition("=")[0] in problems(word)
    assert load(["seed=9223372036854775807"]).config.seed == 2**63 - 1


def test_an_enum_lists_its_values_and_a_recipe_its_neighbours():
    assert "auto, fp32, bf16, fp16" in problems("trainer.precision=int8")["trainer.precision"]
    assert "sst2-lora" in problems("recipe=sst2-lroa")["recipe"]


def test_an_enum_that_may_be_null_lists_its_values_too():
    with pytest.raises(ConfigError) as caught:
        load(["tokenizer.overlength=eror"])
    assert caught.value.problems[0].hint == "expected one of truncate, drop, error or null"


@pytest.mark.parametrize("word", ["+optimizer.lr=1", "++a=b", "~peft", "hydra.run.dir=x", "hydra/launcher=x",
                                  "optimizer.lr=${oc.env:HOME}", "model.path=${oc.decode:x}", "novalue"])  # fmt: skip
def test_hydras_own_operators_and_resolvers_are_refused(word):
    assert len(problems(word)) == 1


def test_flags_of_other_tools_are_answered_with_the_word():
    assert "type optimizer.lr=1e-3" in problems("--optimizer.lr", "1e-3")["--optimizer.lr=1e-3"]
    assert "type seed=3" in problems("--seed=3")["--seed=3"]
    assert "--dry-run" in problems("--dry-rum")["--dry-rum"]


@pytest.mark.parametrize(
    "text", ["it's", "été", "a b", "x=y", "~/x", "[a", "a,b", "{a", "1e-3", "true", "null.txt", "0123"]
)
def test_text_fields_take_words_literally(text):
    config = load([f"model.id={text}"]).config
    assert config.model.id == text


def test_paths_are_absolute_and_home_is_expanded(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    config = load(["data.path=rows", "model.path=~/m"]).config
    assert config.data.path == str(tmp_path / "rows") and config.model.path == "/home/someone/m"


def test_numbers_lists_and_null():
    config = load(["optimizer.lr=1e-06", "trainer.max_grad_norm=null", "optimizer.betas=[0.8,0.9]", "scheduler.warmup=0.1",
                   "optimizer.no_decay=['.*bias',norms]", "trainer.epochs=2"]).config  # fmt: skip
    assert (
        config.optimizer.lr == 1e-06 and config.trainer.max_grad_norm is None and config.trainer.epochs == 2.0
    )
    assert config.optimizer.betas == [0.8, 0.9] and config.optimizer.no_decay == [".*bias", "norms"]
    assert config.scheduler.warmup == "0.1"


def test_a_swapped_choice_drops_the_recipes_values_and_says_so():
    composed = load(["recipe=sst2-lora", "peft=none", "optimizer=sgd"])
    assert composed.config.choices["peft"] == "none" and not hasattr(composed.config.peft, "r")
    assert composed.config.optimizer.lr != 1e-4
    dropped = " ".join(composed.notes)
    for key in ("peft.r=8", "peft.lora_alpha=16", "optimizer.lr=0.0001", "optimizer.eps=0.0001"):
        assert key in dropped
    assert "trainer" not in dropped
    assert load(["recipe=sst2-lora", "peft=lora"]).notes == []


def test_origins(tmp_path):
    composed = load(["recipe=sst2-lora", "optimizer.lr=3e-4", "model=minilm"])
    origins = composed.origins
    assert (
        origins["optimizer.lr"] == "shell"
        and origins["optimizer.eps"] == "recipe"
        and origins["optimizer.betas"] == "default"
    )
    assert origins["model"] == "shell"
    text = render_config(composed)
    assert (
        "  lr: 0.0003  # shell" in text
        and "  eps: 0.0001  # recipe" in text
        and "  model: minilm  # shell" in text
    )


def test_a_recorded_configuration_comes_back_equal(tmp_path):
    composed = load(
        [
            "recipe=sst2-lora",
            "optimizer.lr=3e-4",
            "model.id=it's # odd: yes",
            "data.label_names=['no','on: x']",
        ]
    )
    (tmp_path / "config.yaml").write_text(render_config(composed))
    again = restored(tmp_path / "config.yaml", [])
    assert isinstance(again.config, RunConfig) and again.config == composed.config
    assert differences(composed, again) == {} and again.changed == frozenset()
    for key in ("optimizer.lr", "optimizer.eps", "optimizer.betas", "trainer.epochs"):
        assert again.origins[key] == composed.origins[key]
    changed = restored(tmp_path / "config.yaml", ["trainer.epochs=9"])
    assert changed.changed == {"trainer.epochs"} and differences(composed, changed) == {"trainer.epochs": 9.0}


def recipe(tmp_path, body: str) -> str:
    file = tmp_path / "mine.yaml"
    file.write_text("defaults:\n  - base\n  - _self_\n" + body)
    return f"recipe={file}"


def test_a_recipe_by_path(tmp_path):
    composed = load([recipe(tmp_path, "optimizer:\n  lr: 1e-06\n")])
    assert composed.config.optimizer.lr == 1e-06 and composed.config.recipe == "mine"
    assert composed.origins["optimizer.lr"] == "recipe"


def test_a_recipe_without_self_keeps_its_own_values(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("defaults:\n  - base\n  - override optimizer: sgd\noptimizer:\n  lr: 1e-06\nseed: 7\n")
    composed = load([f"recipe={file}"])
    assert composed.config.choices["optimizer"] == "sgd"
    assert composed.config.optimizer.lr == 1e-06 and composed.config.seed == 7
    assert composed.origins["optimizer.lr"] == composed.origins["seed"] == "recipe"


@pytest.mark.parametrize(("body", "said"), [
    ("optimizer:\n  lrr: 1\n", "optimizer.lr"),
    ("optimizer:\n  lr: 1\n  lr: 2\n", "duplicate"),
    ("optimizer:\n  lr: ${oc.env:HOME}\n", "runs no code"),
    ("optimizer:\n  _target_: os.system\n", "cannot name code"),
    ("optimizer:\n  uses: evil\n", "cannot be set in a recipe"),
    ("hydra:\n  run:\n    dir: x\n", "cannot be set in a recipe"),
    ("optimizer: [1\n", "YAML"),
    ("optimiser:\n  lr: 1\n", "optimizer"),
    ("trainer:\n  epochs: soon\n", "number"),
])  # fmt: skip
def test_a_recipes_mistakes_are_named(tmp_path, body, said):
    found = problems(recipe(tmp_path, body))
    assert any(said in f"{key} {text}" for key, text in found.items()), found
    assert any("mine.yaml" in key for key in found), found


def test_an_unknown_choice_in_a_recipe_is_named(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("defaults:\n  - base\n  - override optimizer: adamm\n  - _self_\n")
    (text,) = problems(f"recipe={file}").values()
    assert "adamm" in text


def test_a_word_given_twice_is_refused():
    assert "given twice" in problems("seed=1", "seed=2")["seed"]


def test_runs_without_a_recipe_are_quickstarts_only_where_model_rows_and_task_are_its_own(tmp_path):
    for words in (
        [],
        ["optimizer.lr=1e-3"],
        ["peft=lora", "seed=3"],
        ["model=minilm"],
        ["data.limit_train=9"],
    ):
        assert load(words).config.recipe == "quickstart", words
    for words in (["model=gpt2"], ["data=text"], [f"data.path={tmp_path}"], [f"model.path={tmp_path}"], ["data.id=imdb"],
                  ["data.files.train=a.tsv"], ["task=regression"]):  # fmt: skip
        assert load(words).config.recipe == "own", words
    assert load(["recipe=quickstart", "model=gpt2"]).config.recipe == "quickstart"


def test_values_out_of_range_are_shown_beside_words_that_are_not_understood(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(["optimizer.lrr=1", "trainer.epochs=-1", "trainer.batch_size=two", "trainer.micro_batch_size=64",
              "data.limit_train=0", f"data.path={tmp_path / 'nowhere'}", "model=local"])  # fmt: skip
    keys = [problem.key for problem in caught.value.problems]
    assert sorted(keys) == [
        "data.limit_train",
        "data.path",
        "optimizer.lrr",
        "trainer.batch_size",
        "trainer.epochs",
    ]
    # 64 is compared with a batch size that is not known, and model=local may have had its path in a bad word.
    with pytest.raises(ConfigError) as caught:
        load(["optimizer.lrr=1", "seeds=[1,2]", "num_seeds=3"])
    assert [problem.key for problem in caught.value.problems] == ["optimizer.lrr", "num_seeds"]
