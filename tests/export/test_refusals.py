"""Real processes: a folder that was changed, what cannot be exported, and the card's own code."""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_exports

LORA = ("peft=lora", "peft.r=4")
TASK = "sequence-classification"


@pytest.mark.parametrize("method", [(), LORA], ids=["full", "lora"])
def test_one_changed_weight_is_found(method, train, ftcli, tmp_path, monkeypatch, request):
    if not method:
        request.getfixturevalue("in_this_process")  # the other one is the real thing
    from safetensors.torch import load_file, save_file

    from ftcli.export import export as session

    write = session._write

    def spoiled(finished, stage, *rest):
        made = write(finished, stage, *rest)
        file = next(stage.glob("*model.safetensors"))
        tensors = load_file(file)
        name = next(name for name in tensors if name.endswith("classifier.bias"))
        tensors[name][1] += 0.5
        save_file(tensors, file, metadata={"format": "pt"})
        return made

    monkeypatch.setattr(session, "_write", spoiled)
    done = ftcli("export", str(train(TASK, "bert", *method)), str(tmp_path / "out"))
    assert done.code == 3
    assert "8 of 16 outputs differ by more than 0" in done.err
    values = re.search(
        r"validation row \d  output 'positive': (\S+) in the run, (\S+) in the folder", done.err
    )
    assert float(values[2]) == pytest.approx(float(values[1]) + 0.5, abs=1e-4)
    assert list(tmp_path.glob("*out*")) == [] and list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize(
    ("method", "lost"), [((), "classifier.bias"), (LORA, "layer.1.attention.self.query.lora_B")]
)
def test_a_lost_tensor_is_found(method, lost, train, ftcli, tmp_path, monkeypatch, in_this_process):
    from safetensors.torch import load_file, save_file

    from ftcli.export import export as session

    write = session._write

    def lossy(finished, stage, *rest):
        made = write(finished, stage, *rest)
        file = next(stage.glob("*model.safetensors"))
        tensors = {name: t for name, t in load_file(file).items() if lost not in name}
        save_file(tensors, file, metadata={"format": "pt"})
        return made

    monkeypatch.setattr(session, "_write", lossy)
    done = ftcli("export", str(train(TASK, "bert", *method)), str(tmp_path / "out"))
    assert done.code == 3 and "missing" in done.err and lost in done.err
    assert not (tmp_path / "out").exists()


def test_the_cards_code_works_as_it_stands(train, ftcli, tmp_path):
    """All the way through real processes: the export's own with adapters, and one for the code of both cards."""
    codes = []
    for method in ((), LORA):
        folder = tmp_path / f'it\'s a "b" `c` \\n $d{len(codes)}'  # the code is pasted as it stands
        run = Path(train(TASK, "bert", *method))
        with pytest.MonkeyPatch.context() as patched:
            if not method:
                tiny_exports.reload_in_process(patched)
            done = ftcli("export", str(run), str(folder), "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out)["passes"][0]["worst"] == 0.0
        codes.append(re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)[1])
        written = {
            file.name: file.read_text() for file in folder.iterdir() if file.suffix in (".json", ".md")
        }
        if method:
            # The base lies beside the folder, as the card says; peft writes no card of its own.
            base = json.loads(written["adapter_config.json"])["base_model_name_or_path"]
            (tmp_path / base).symlink_to(model_of(run), target_is_directory=True)
            assert base.startswith("./")
            assert base in written["README.md"] and "fingerprint" in written["README.md"]
            assert "Warning" not in done.err
        home = str(model_of(run).parent)
        assert not [name for name, text in written.items() if home in text or str(tmp_path) in text]
    ran = subprocess.run(
        [sys.executable, "-I", "-c", "\n".join(codes)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr
    assert set(ran.stdout.splitlines()) <= {"['negative']", "['positive']"} and ran.stdout.count("\n") == 2


@pytest.mark.parametrize("kind", ["plain", "adapter"])
def test_the_cards_code_quotes_any_path(kind):
    """Quotes, backslashes, backticks, line breaks, and a direction mark in both paths; the block has one end."""
    import ast
    from types import SimpleNamespace

    from ftcli.export.usage_snippet import _loading

    wild = './it\'s a "b" ```c``` \\n\n{d} ü\u202e'
    task = SimpleNamespace(usage_reader="AutoTokenizer")
    finished = SimpleNamespace(inputs=SimpleNamespace(task=task))
    made = SimpleNamespace(auto_class="AutoModelForSequenceClassification")
    code = "\n".join(_loading(SimpleNamespace(
        made=made, finished=finished, place=wild, kind=kind, base=wild, proved={"resized": False}
    )))  # fmt: skip
    found = [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)]
    assert found.count(wild) == (1 if kind == "plain" else 2) and "`" not in code and code.isascii()


def model_of(run: Path) -> Path:
    """Returns the folder of the model that a run began with."""
    from ftcli.report.summary import read_settings

    return Path(read_settings(run / "config.yaml")["model.path"])


def test_a_command_in_a_card_tells_no_folder_of_the_disk():
    from ftcli.export.model_card import _without_paths

    typed = "ftcli train recipe=sst2 data.path=/home/me/rows 'model.path=/a b/base' ~/r.yaml optimizer.lr=1e-3 data.files.train=a/b.tsv"
    assert _without_paths(typed) == (
        "ftcli train recipe=sst2 data.path=.../rows model.path=.../base .../r.yaml optimizer.lr=1e-3 data.files.train=a/b.tsv"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data.files.train=[/home/me/a.tsv,/home/me/b.tsv]", "data.files.train=[.../a.tsv,.../b.tsv]"),
        ("data.files={train:/home/me/a.tsv}", "data.files={train:.../a.tsv}"),
        ("data.path=~bob/x", "data.path=.../x"),
        ("model.path='/home/me/x y'", "model.path=.../x y"),
        ("data.files.train=a/b.tsv", "data.files.train=a/b.tsv"),
        ("rows (there is no /home/me/data/train.tsv)", "rows (there is no .../train.tsv)"),
        ("https://host.org/a/b and scheduler.warmup=1/2", "https://host.org/a/b and scheduler.warmup=1/2"),
    ],
)
def test_paths_inside_words_are_shortened_too(text, expected):
    from ftcli.export.model_card import _shortened

    assert _shortened(text) == expected


def test_the_reloading_script_knows_nothing_of_ftcli():
    from ftcli.export import reload

    assert "import ftcli" not in (text := Path(reload.__file__).read_text()) and "from ftcli" not in text


def test_a_folder_that_is_not_empty_is_left_alone(train, ftcli, tmp_path):
    (tmp_path / "mine").write_text("x")
    done = ftcli("export", str(train(TASK, "bert")), str(tmp_path))
    assert done.code == 2 and "is not empty" in done.err
    assert [path.name for path in tmp_path.glob("mine")] == ["mine"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--merge"], "no adapters to merge"), (["--base", "a/b"], "--base"), (["--checkpoint", "step-9"], "step-9"),
     (["--dtype", "int8"], "int8"), (["--push", "a/b"], "HF_HUB_OFFLINE=1 forbids the network")],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_before_anything_is_written(arguments, said, train, ftcli, tmp_path):
    done = ftcli("export", str(train(TASK, "bert")), str(tmp_path / "out"), *arguments)
    assert done.code == 2 and said in done.err
    assert not (tmp_path / "out").exists()


def test_a_method_of_our_own_is_refused_by_name(train, ftcli, tmp_path, monkeypatch):
    from ftcli.export import export as session

    open_run = session._open

    def own(*arguments):
        finished, missing = open_run(*arguments)
        finished.built.peft = finished.built.peft.__class__(finished.model, finished.built.peft.adapter_names)
        return finished, missing

    monkeypatch.setattr(session, "_open", own)
    done = ftcli("export", str(train(TASK, "bert", *LORA)), str(tmp_path / "out"))
    assert done.code == 2 and "a method that plain peft does not have" in done.err
    assert not (tmp_path / "out").exists()


def test_an_ensemble_names_a_member(train, ftcli, tmp_path):
    run = train(TASK, "bert", "seeds=[1,2]")
    done = ftcli("export", str(run), str(tmp_path / "out"))
    assert done.code == 2 and f"{run}/seed-1" in done.err


def test_rows_that_are_gone_are_replaced_by_drawn_ones(
    train, ftcli, tmp_path, place, in_this_process, monkeypatch
):
    run = train(TASK, "bert", *LORA)
    rows = place / "rows" / TASK
    rows.rename(away := rows.with_name("away"))
    try:
        done = ftcli("export", str(run), str(tmp_path / "out"), "--json")
    finally:
        away.rename(rows)
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert "256 rows drawn at random" in result["inputs"] and result["sequences"] == 256
    assert all(one["worst"] <= one["tolerance"] for one in result["passes"])


@pytest.mark.parametrize(
    ("word", "named"), [(None, True), ("data.path=rows", False), ("data.files.train=a.tsv", False)]
)
def test_the_card_names_a_data_set_of_the_hub_only_where_its_rows_were_used(word, named):
    from ftcli.config.compose import load
    from ftcli.export.model_card import _published_rows

    config = load(["data=sst2", *([word] if word else [])]).config
    assert _published_rows(config) == ("stanfordnlp/sst2" if named else None)


def test_the_card_shows_the_datas_own_names_as_plain_text(train, ftcli, tmp_path, in_this_process):
    import yaml

    from ftcli.export.model_card import plain

    assert plain("<b>*x*|[a](b)\n# y") == r"\<b\>\*x\*\|\[a\](b) \# y"
    done = ftcli("export", str(train(TASK, "bert")), str(tmp_path / "a: [b] 'c' # d"))
    assert done.code == 0, done.err
    text = (tmp_path / "a: [b] 'c' # d" / "README.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["model-index"][0]["name"] == "a: [b] 'c' # d"
    assert front["library_name"] == "transformers" and front["pipeline_tag"] == "text-classification"
    assert "| validation | validation.jsonl | 8 |" in text


def test_a_stage_vanishes_with_an_error_and_a_killed_ones_is_swept(tmp_path):
    from ftcli.export.stage import staged, vacant

    dead, foreign = tmp_path / ".stage-out-99999999", tmp_path / ".stage-other-99999999"
    for folder in (dead, foreign):
        folder.mkdir()
    with pytest.raises(KeyError), staged(vacant(tmp_path / "out")) as stage:
        (stage / "half").write_text("x")
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == [foreign.name]
    (tmp_path / "out").mkdir()
    with staged(vacant(tmp_path / "out")) as stage:
        (stage / "whole").write_text("x")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["whole"]


def test_the_card_of_somebody_elses_run_is_text_whatever_its_files_hold(
    train, ftcli, tmp_path, in_this_process
):
    run = tmp_path / "run"
    shutil.copytree(train(TASK, "bert"), run, symlinks=True)
    result = json.loads((run / "result.json").read_text())
    result |= {"steps": "<script>1</script>", "test": ["no object"], "trainable_parameters": "[x](y)"}
    result["metrics"] |= {"huge": 10**400, "odd|name\n# heading": 0.5}
    (run / "result.json").write_text(json.dumps(result))
    (run / "command.txt").write_text("ftcli train 'never closed ```\n# heading\n")
    done = ftcli("export", str(run), "out")
    assert done.code == 0, done.err
    card = Path("out/README.md").read_text()
    assert "<script>" not in card and "[x](y)" not in card and "huge" not in card
    assert not any(line.startswith("# ") and line != "# out" for line in card.splitlines())
    assert "steps in all: not known" in card and "command.txt is no command" in card


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://evil.example/x", "http~://evil~.example/x"),
        ("see HTTPS://a.b?c=d now", "see HTTPS~://a~.b?c=d now"),
        ("WWW.evil.example", "WWW~.evil~.example"),
        ("write to a.b@evil.example", "write to a.b~@evil~.example"),
        ("mailto:a@evil.example", "mailto:a~@evil~.example"),
        ("hub gpt2@607a30d", "hub gpt2@607a30d"),
        ("@user train.jsonl 0.5", "@user train.jsonl 0.5"),
    ],
)
def test_an_address_in_a_label_becomes_no_link(text, shown):
    """Signs that are not seen stand where a viewer of Markdown would recognise an address in plain text."""
    from ftcli.export.model_card import plain

    assert plain(text).replace("\u2060", "~") == shown
    begun = time.monotonic()
    for piece in ("a", "w", "a.", "a@", "://", "www."):
        plain(piece * (200_000 // len(piece)))
    assert time.monotonic() - begun < 10
