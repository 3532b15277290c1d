"""train, resume, evaluate, predict, config, list, doctor: end to end on a tiny model."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_models as models

from ftcli import __version__


def tree(folder: Path) -> set[str]:
    return {str(p) for p in folder.rglob("*")}


def test_train_evaluate_predict(ftcli, tiny, tmp_path, monkeypatch):
    done = ftcli("train", *tiny, "--run-dir", "run", "task.metrics=[accuracy,f1,mcc]")
    assert done.code == 0, done.err
    run = Path("run")
    result = json.loads((run / "result.json").read_text())
    assert next(iter(result)) == "metrics" and set(result["metrics"]) == {"accuracy", "f1", "mcc", "loss"}
    for name in (
        "config.yaml",
        "command.txt",
        "environment.json",
        "plan.json",
        "data.json",
        "metrics.jsonl",
        "train.log",
    ):
        assert (run / name).stat().st_size
    assert list((run / "tensorboard").iterdir())
    lines = [json.loads(line) for line in (run / "predictions" / "validation.jsonl").read_text().splitlines()]
    right = sum(line["label"] == line["prediction"] for line in lines) / len(lines)
    assert right == result["metrics"]["accuracy"]
    assert json.loads((run / "data.json").read_text())["labels"] == ["negative", "positive"]
    scored = json.loads(ftcli("evaluate", "run", "--json").out)
    assert scored["metrics"] == pytest.approx(result["metrics"], abs=1e-6)
    assert "nothing to resume" in ftcli("resume", "run").out
    Path("new.tsv").write_text("extra\ttext\n=1+1\tthe film was good\n-\tthe film was bad\n")
    assert ftcli("predict", "run", "-i", "new.tsv", "-o", "out.csv").code == 0
    table = list(csv.reader(io.StringIO(Path("out.csv").read_text())))
    assert table[0] == ["extra", "text", "prediction", "probability_negative", "probability_positive"]
    assert [row[0] for row in table[1:]] == ["=1+1", "-"] and table[1][1] == "the film was good"
    assert sum(map(float, table[1][3:])) == pytest.approx(1, abs=1e-6)
    records = [json.loads(line) for line in ftcli("predict", "run", "-i", "new.tsv").out.splitlines()]
    assert [r["extra"] for r in records] == ["=1+1", "-"]
    assert ftcli("train", *tiny, "--run-dir", "run").code == 2
    assert ftcli("train", *tiny, "--run-dir", "run", "--resume", "task.metrics=[accuracy,f1,mcc]").code == 0
    assert (
        ftcli("train", *tiny, "--run-dir", "run", "--resume", "task.metrics=[accuracy,f1,mcc]", "seed=4").code
        == 2
    )


def test_a_test_part_is_scored_once_with_the_best_checkpoint(ftcli, tiny, tmp_path):
    rows = tmp_path / "rows"
    (rows / "test.tsv").write_text((rows / "validation.tsv").read_text())
    assert ftcli("train", *tiny, "--run-dir", "run").code == 0
    result = json.loads(Path("run/result.json").read_text())
    assert result["test"] == result["metrics"] and Path("run/predictions/test.jsonl").exists()
    (rows / "test.tsv").write_text("text\nthe film was good\n")
    assert "no labels" in ftcli("train", *tiny, "--run-dir", "other").out
    assert json.loads(Path("other/result.json").read_text())["test"] is None


def test_pairs_and_a_held_out_share(ftcli, tiny, tmp_path):
    rows = tmp_path / "pairs"
    rows.mkdir()
    lines = [f"the {a} was {w}\tthe {a} was {w if i % 2 else 'cold'}\t{i % 2}" for i, (a, w) in
             enumerate((a, w) for a in ("film", "book", "meal", "room", "phone") for w in ("good", "bad", "dull", "warm"))]  # fmt: skip
    (rows / "train.tsv").write_text("first\tsecond\tlabel\n" + "\n".join(lines) + "\n")
    words = [w for w in tiny if not w.startswith("data.path")]
    done = ftcli("train", *words, f"data.path={rows}", "data.columns.text=first", "data.columns.text_pair=second",
                 "data.validation_share=0.3", "--run-dir", "run")  # fmt: skip
    assert done.code == 0, done.err
    parts = json.loads(Path("run/data.json").read_text())["parts"]
    assert parts["train"]["rows"] == 14 and parts["validation"]["rows"] == 6
    assert ftcli("evaluate", "run").code == 0


def test_dry_run_writes_nothing(ftcli, tiny, tmp_path):
    before = tree(tmp_path)
    done = ftcli("train", *tiny, "trainer.micro_batch_size=3", "--dry-run")
    assert done.code == 0 and tree(tmp_path) == before
    assert "48 rows / batch of 8 (3 micro-batches of 3) = 6 steps an epoch; 12 steps in all" in done.out
    assert "parameters train (100.00%)" in done.out and "nothing was written" in done.out


def test_a_disk_without_room_for_a_checkpoint_is_refused_before_training(ftcli, tiny, tmp_path, monkeypatch):
    from safetensors.torch import load_file

    assert ftcli("train", *tiny, "--run-dir", "run").code == 0
    held = [load_file(f"run/checkpoints/last/{name}.safetensors") for name in ("model", "optimizer")]
    needed = sum(tensor.nbytes for tensors in held for tensor in tensors.values() if tensor.dim())
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=needed - 1))
    for words in (["train", *tiny, "--run-dir", "other"], ["train", *tiny, "--dry-run"]):
        done = ftcli(*words)
        assert done.code == 1 and f"{needed:,} bytes are needed and {needed - 1:,} are free" in " ".join(
            done.err.split()
        )
        assert "validation: accuracy" not in done.out and not Path("other").exists()
    resumed = ftcli("resume", "run", "trainer.epochs=9")
    assert resumed.code == 1 and "has no room for one checkpoint" in " ".join(resumed.err.split())
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=needed))
    assert ftcli("train", *tiny, "--dry-run").code == 0


def test_a_resume_with_more_epochs_says_what_becomes_of_the_lr(ftcli, tiny):
    assert ftcli("train", *tiny, "--run-dir", "run").code == 0
    done = ftcli("resume", "run", "trainer.epochs=3")
    assert done.code == 0 and "the lr curve was 12 steps long and is now 18" in done.out
    assert json.loads(Path("run/result.json").read_text())["steps"] == 18
    pinned = [*tiny, "scheduler.total_steps=18"]
    assert ftcli("train", *pinned, "--run-dir", "pinned").code == 0
    assert "lr curve was" not in ftcli("resume", "pinned", "trainer.epochs=3").out


def test_other_sources_are_refused_on_resume(ftcli, tiny, tmp_path):
    assert ftcli("train", *tiny, "trainer.epochs=1", "--run-dir", "run").code == 2  # epochs given twice
    assert ftcli("train", *tiny, "--run-dir", "run").code == 0
    rows = tmp_path / "rows" / "train.tsv"
    rows.write_text(rows.read_text() + "the film was good\tpositive\n")
    done = ftcli("resume", "run", "trainer.epochs=3")
    assert done.code == 2 and "rows changed" in done.err


def test_evaluate_a_folder_needs_its_head(ftcli, tiny, tmp_path):
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

    folder, rows = tmp_path / "model", tmp_path / "rows"
    config = AutoConfig.from_pretrained(
        folder, id2label={0: "negative", 1: "positive"}, label2id={"negative": 0, "positive": 1}
    )
    words = ["data=text", f"data.path={rows}", "tokenizer.max_length=24"]
    AutoModel.from_config(config).save_pretrained(folder)
    done = ftcli("evaluate", str(folder), *words)
    assert done.code == 2 and "no trained head" in done.err
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    done = ftcli("evaluate", str(folder), *words, "--json")
    assert done.code == 0, done.err
    assert 0 <= json.loads(done.out)["metrics"]["accuracy"] <= 1


def test_generate_schedule_needs_config_json_alone(ftcli, tmp_path):
    import yaml

    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"model_type": "gpt2", "n_layer": 3, "n_embd": 8, "n_head": 2, "vocab_size": 20})
    )
    done = ftcli("generate-schedule", "model=local", f"model.path={folder}")
    assert done.code == 0 and len(yaml.safe_load(done.out)) == 5
    assert ftcli("generate-schedule", "model=local", f"model.path={folder}", "-o", "s.yaml").code == 0
    assert yaml.safe_load(Path("s.yaml").read_text()) == yaml.safe_load(done.out)


def test_looking_around(ftcli):
    assert f"ftcli {__version__}" in ftcli("--version").out
    listed = json.loads(ftcli("list", "--json").out)
    assert {"quickstart", "sst2-lora"} <= set(listed["recipe"]) and {"accuracy", "f1", "mcc"} <= set(
        listed["metric"]
    )
    assert "adamw" in ftcli("list", "optimizer").out and ftcli("list", "optimiser").code == 2
    values = json.loads(ftcli("config", "recipe=sst2-lora", "optimizer.lr=3e-4", "--json").out)
    assert values["values"]["optimizer"]["lr"] == 3e-4 and values["origins"]["optimizer.lr"] == "shell"
    assert "lr: 0.0003  # shell" in ftcli("config", "recipe=sst2-lora", "optimizer.lr=3e-4").out
    assert json.loads(ftcli("doctor", "--json").out)["a training step"]["ok"] is True


def test_help_is_quick_and_imports_neither_torch_nor_hydra():
    code = ("import sys; sys.argv = ['ftcli', '--help']\nfrom ftcli.cli.app import main\n"
            "try:\n    main()\nexcept SystemExit:\n    pass\n"
            "print(sorted({'torch', 'hydra', 'omegaconf', 'transformers', 'numpy'} & set(sys.modules)))")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]") and "overfit-batch" in done.stdout


def test_a_signal_saves_and_a_resume_finishes(ftcli, tiny):
    """A real process: stopped by a signal, exit code 128 + n, stopped by another when it goes on, resumed to the reference's bytes."""
    words = ["train", *[w for w in tiny if not w.startswith("trainer.epochs")], "trainer.epochs=30", "trainer.log_every_n_steps=1",
             "trainer.threads=1"]  # fmt: skip
    assert ftcli(*words, "--run-dir", "whole").code == 0
    log = Path("cut/metrics.jsonl")
    for number, command in (
        (signal.SIGTERM, [*words, "--run-dir", "cut"]),
        (signal.SIGINT, ["resume", "cut"]),
    ):
        lines = log.read_text().count("\n") if log.exists() else 0
        process = subprocess.Popen(
            [sys.executable, "-m", "ftcli", *command, "--quiet"],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 90
        while not (log.exists() and log.read_text().count("\n") > lines + 5) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait(60) == 128 + number
        assert not Path("cut/result.json").exists()
    assert ftcli("resume", "cut").code == 0
    whole, cut = ((Path(run) / "checkpoints/last/model.safetensors").read_bytes() for run in ("whole", "cut"))
    assert whole == cut


def test_a_warmup_longer_than_the_run_is_found_before_anything_is_written(ftcli, tiny):
    done = ftcli("train", *tiny, "scheduler.warmup=500st", "--run-dir", "run")
    assert done.code == 2 and "scheduler.warmup" in done.err
    assert not Path("run").exists()
    assert ftcli("train", *tiny, "scheduler.warmup=500st", "--dry-run").code == 2


def test_a_resume_takes_a_word_that_changes_nothing(ftcli, tiny):
    assert ftcli("train", *tiny, "--run-dir", "run").code == 0
    assert "nothing to resume" in ftcli("resume", "run", "optimizer.lr=3e-3").out
    done = ftcli("resume", "run", "optimizer.lr=4e-3")
    assert done.code == 2 and "this would change the run" in done.err


def test_a_schedule_never_names_the_head_of_another_task(ftcli, tmp_path):
    """OPT has no head for token classification; that of questions would give tensors the run does not have."""
    model = models.write_model(tmp_path / "opt", "opt")
    words = ["model=local", f"model.path={model}", "model.weights=random"]
    done = ftcli("generate-schedule", *words, "task=token-classification")
    assert done.code == 2 and "without the task head" in done.err
    assert ftcli("generate-schedule", *words).code == 0


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (None, "online"),
        (OSError("[Errno -2] Name or service not known"), "cannot be reached ([Errno -2] Name"),
    ],
)
def test_doctor_asks_the_hub_before_it_calls_it_online(ftcli, monkeypatch, failure, said):
    import huggingface_hub

    class Session:
        def head(self, address, timeout):
            if failure:
                raise failure

    monkeypatch.setattr(huggingface_hub, "get_session", Session)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    found = json.loads(ftcli("doctor", "--json").out)["hub"]["found"]
    assert said in found and ("model=minilm" in found) == bool(failure)
