"""One base, many adapters: held once, and every figure and prediction that of the run alone."""

import json
from pathlib import Path

import pytest

LORA = ("peft=lora", "peft.r=4")
TASK = "sequence-classification"


@pytest.fixture
def runs(train):
    """Two adapters, a full fine-tune and a head on one base."""
    words = [LORA, (*LORA, "seed=7"), (), ("freezing=head-only",)]
    return [str(train(TASK, "bert", *own)) for own in words]


def test_the_base_is_one_storage_and_what_was_trained_is_each_runs_own(runs):
    from ftcli.inference.open import open_predictors

    opened, shared = open_predictors(runs, "best", [], with_rows=False)
    assert shared.reads == 1
    first, second, full, head = (dict(one.model.named_parameters()) for one in opened.values())
    frozen = [name for name in first if "lora_" not in name and not name.startswith("classifier")]
    assert len(frozen) == 39
    for name in frozen:
        plain = name.replace(".base_layer", "")
        places = {one.data_ptr() for one in (first[name], second[name], head[plain])}
        assert len(places) == 1, name
        # A bias whose gradient is zero (of keys, in a softmax) is not changed by training.
        assert full[plain].data_ptr() not in places or full[plain].equal(first[name]), name
    own = [name for name in first if name not in frozen]
    assert own and all(first[name].data_ptr() != second[name].data_ptr() for name in own)
    weights = sum(first[name].nbytes for name in frozen)
    assert shared.num_bytes >= 2 * weights


def test_a_method_that_changes_the_base_in_place_spoils_no_other_run(runs, monkeypatch):
    import torch

    from ftcli.inference.open import open_predictors
    from ftcli.run import session

    alone = open_predictors(runs[1:2], "best", [], with_rows=False)[0].popitem()[1]
    build, calls = session.build_model, []

    def changing(*arguments, **options):
        built = build(*arguments, **options)
        if not calls:
            for parameter in built.model.parameters():
                parameter.data.mul_(2)
        calls.append(1)
        return built

    monkeypatch.setattr(session, "build_model", changing)
    _, second = open_predictors(runs[:2], "best", [], with_rows=False)[0].values()
    mine = dict(second.model.named_parameters())
    assert all(torch.equal(value, mine[name]) for name, value in alone.model.named_parameters())


def test_evaluate_gives_each_runs_own_figures(runs, ftcli):
    together = json.loads(ftcli("evaluate", *runs, "--json").out)
    assert [one["run"] for one in together["runs"]] == [run.rpartition("/")[2] for run in runs]
    for run, one in zip(runs, together["runs"], strict=True):
        alone = json.loads(ftcli("evaluate", run, "--json").out)
        assert one == {"run": one["run"], **alone}
    assert together["weight_reads"] == 1 and together["shared_bytes"] > 0
    shown = ftcli("evaluate", *runs[:2])
    assert "weights were read once; sharing them saves" in shown.out and "KiB of memory" in shown.out
    assert "not the same" not in shown.out


def test_words_and_runs_stand_in_any_order(runs, ftcli):
    done = ftcli("evaluate", runs[0], "trainer.eval_batch_size=5", runs[1], "--json")
    assert len(json.loads(done.out)["runs"]) == 2
    assert ftcli("evaluate", runs[0], "no-such-run").code == 2
    wrong = ftcli("evaluate", runs[0], "--optimizer.lr", "1e-3")
    assert wrong.code == 2 and "hyperparameters are words, not flags" in wrong.err


def test_predict_puts_the_columns_side_by_side(runs, ftcli, tmp_path):
    rows = [{"text": "the film was good"}, {"text": "the room was never bad"}]
    file = tmp_path / "new.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = ftcli("predict", *runs[:3], "--input", str(file), "--output", "both.jsonl")
    assert done.code == 0, done.err
    together = [json.loads(line) for line in Path("both.jsonl").read_text().splitlines()]
    for run in runs[:3]:
        name = run.rpartition("/")[2]
        alone = ftcli("predict", run, "--input", str(file)).out.splitlines()
        for row, line in zip(together, map(json.loads, alone), strict=True):
            assert {f"{name}.{k}": v for k, v in line.items() if k != "text"}.items() <= row.items()
    assert list(together[0])[0] == "text" and len(together[0]) == 1 + 3 * 3
    before = Path("both.jsonl").read_bytes()
    again = ["predict", runs[0], "--input", str(file), "--output", "both.jsonl"]
    refused = ftcli(*again)
    assert refused.code == 2 and "exists already" in refused.err and "add --force" in refused.err
    assert Path("both.jsonl").read_bytes() == before
    assert ftcli(*again, "--force").code == 0 and Path("both.jsonl").read_bytes() != before


def test_the_id_of_a_run_names_its_columns(tmp_path):
    from ftcli.inference.open import _name

    for name in ("20260101-120000-abc123", "mine", "20260101-120000-notanid"):
        (tmp_path / name).mkdir()
    assert _name(str(tmp_path / "20260101-120000-abc123")) == "abc123"
    assert _name(str(tmp_path / "mine")) == "mine"
    assert _name(str(tmp_path / "20260101-120000-notanid")) == "20260101-120000-notanid"


def test_figures_of_other_rows_and_many_figures_are_shown_so(monkeypatch, capsys):
    """Two runs on other rows are said to be; many figures stand a line each."""
    from types import SimpleNamespace

    from ftcli.console.console import Screen
    from ftcli.inference import multi_model as several

    shared = SimpleNamespace(reads=2, num_bytes=0)
    monkeypatch.setattr(several, "evaluate_part", lambda one, *args, **kwargs: {
        "metrics": {f"f1@class/{n}": 0.5 for n in range(9)}, "collapsed": "", "data": "rows.csv", "rows": one.inputs.splits.validation.rows})  # fmt: skip
    for digests, differ in (("ab", True), ("aa", False)):
        models = {n: SimpleNamespace(inputs=SimpleNamespace(splits=SimpleNamespace(
            validation=SimpleNamespace(sha256=d, rows=7)))) for n, d in zip(("one", "two"), digests, strict=True)}  # fmt: skip
        several.evaluate_several(models, shared, "validation", Screen())
        shown = capsys.readouterr().out
        assert ("these are not the same validation rows" in shown) == differ
        assert "f1@class/8  0.5000  0.5000" in shown and "weights were read 2 times" in shown


def test_the_same_name_twice_is_refused(runs, ftcli):
    done = ftcli("evaluate", runs[0], runs[0])
    assert done.code == 2 and "the name of two" in done.err
