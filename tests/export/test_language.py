"""Exported language models: logits, greedy text, generation settings; and folders that were changed on the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_exports
import tiny_language
from tiny_language import changed

LORA = ("peft=lora", "peft.r=4")


@pytest.fixture
def run(ftcli, tmp_path):
    """Returns a function: decoder and words -> folder of a run of three steps."""

    def train(name: str, *own: str) -> str:
        done = ftcli("train", *changed(tiny_language.words(tmp_path, name), *own), "--run-dir", "run", "-q")
        assert done.code == 0, done.err
        return "run"

    return train


@pytest.fixture
def reports(monkeypatch):
    return tiny_exports.reload_in_process(monkeypatch)


@pytest.mark.parametrize(
    ("name", "own", "flags"),
    [
        ("gpt2", (), ()),
        ("llama", LORA, ()),
        ("llama-tied", LORA, ("--merge",)),
        ("gemma2", (), ()),
        ("llama", ("peft=prompt-tuning", "peft.num_virtual_tokens=3"), ()),
        ("gpt2", ("peft=prefix-tuning", "peft.num_virtual_tokens=3"), ()),
    ],
    ids=["full", "lora", "merged", "bounded", "prompt", "prefix"],
)
def test_a_folder_answers_and_goes_on_as_the_run_does(name, own, flags, run, reports, ftcli, tmp_path):
    done = ftcli("export", run(name, *own), "out", *flags, "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert result["auto_class"] == "AutoModelForCausalLM" and result["prompts"] == 8
    assert all(one["worst"] <= one["tolerance"] and one["compared"] for one in result["passes"])
    assert result["passes"][0]["worst"] == 0.0 or flags
    generated = reports[0]["generated"]
    assert len(generated) == 8 and all(1 <= len(ids) <= 16 for ids in generated)
    assert len({tuple(ids) for ids in generated}) > 1 or name == "gpt2"
    assert reports[0]["ids"] == [[]] * 12 or reports[0]["probes"], "the tokenizer is compared by texts"
    settings = json.loads(Path("out/generation_config.json").read_text())
    assert settings["eos_token_id"] == 0 and settings["pad_token_id"] == 0
    config = json.loads(Path("out/config.json").read_text())
    assert config["use_cache"] is True and "label2id" not in config
    card = Path("out/README.md").read_text()
    assert "It went on with 8 prompts as the run did" in card and "model.generate(**inputs" in card
    assert 'pipeline_tag: "text-generation"' in card and "Outputs, in order" not in card


def test_a_fresh_process_and_the_cards_code_go_on_with_a_text(run, ftcli, tmp_path):
    import re
    import subprocess
    import sys

    done = ftcli("export", run("gpt2"), str(tmp_path / "out"), "--json")
    assert done.code == 0, done.err
    code = re.search(r"```python\n(.*?)```", (tmp_path / "out/README.md").read_text(), re.DOTALL)[1]
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert said.returncode == 0 and said.stdout.startswith("a text"), said.stderr


def spoil(monkeypatch, change):
    """Lets `change` edit the tensors of the folder before it is tried."""
    from safetensors.torch import load_file, save_file

    from ftcli.export import export as session

    write = session._write

    def spoiled(finished, stage, *rest):
        made = write(finished, stage, *rest)
        file = next(stage.glob("*model.safetensors"))
        tensors = load_file(file)
        change(tensors)
        save_file(tensors, file, metadata={"format": "pt"})
        return made

    monkeypatch.setattr(session, "_write", spoiled)


@pytest.mark.parametrize("columns", [None, 20])
def test_one_changed_row_of_the_projection_is_found(columns, run, reports, ftcli, monkeypatch):
    """Also where that row is none of those that are compared one by one: the sum of exponentials has it."""
    from ftcli.export import head_form

    if columns:
        monkeypatch.setattr(head_form, "NUM_COLUMNS", columns)
    folder = run("llama")

    def change(tensors):
        assert columns is None or 7 not in range(0, 320, 320 // columns)
        tensors["lm_head.weight"][7] += 0.5

    spoil(monkeypatch, change)
    done = ftcli("export", folder, "out")
    assert done.code == 3 and "outputs differ by more than" in done.err
    assert ("log of the sum of exponentials" in done.err) == (columns is not None)
    assert not Path("out").exists()


def test_a_folder_that_stops_elsewhere_is_found():
    from ftcli.errors import ExportError
    from ftcli.export.greedy import Greedy, compare_text

    right = Greedy([[5, 6, 0]], [[1.0, 1e-7, 1.0]])
    compare_text(right, [[5, 6, 0]], 1e-5)
    compare_text(right, [[5, 9, 9]], 1e-5)  # both were equally probable at the second token
    for other in ([4, 6, 0], [5, 6, 8], [5, 6, 0, 3], [5]):
        if other != [5]:
            with pytest.raises(ExportError, match="goes on with the tokens"):
                compare_text(right, [other], 1e-5)


def test_the_base_models_own_settings_are_kept(run, reports, ftcli, tmp_path):
    words = tiny_language.words(tmp_path, "gpt2")
    stated = {"eos_token_id": [0, 1], "temperature": 0.7, "do_sample": True, "bos_token_id": 1}
    (tmp_path / "gpt2/generation_config.json").write_text(json.dumps(stated))
    assert ftcli("train", *words, "--run-dir", "run").code == 0
    assert ftcli("export", "run", "out").code == 0
    settings = json.loads(Path("out/generation_config.json").read_text())
    assert {key: settings[key] for key in stated} == stated


def test_a_run_whose_rows_are_gone_is_compared_on_drawn_ones(run, reports, ftcli, tmp_path):
    folder = run("llama")
    (tmp_path / "texts/validation.jsonl").unlink()
    done = ftcli("export", folder, "out", "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert "drawn at random" in result["inputs"] and result["prompts"] == 8
