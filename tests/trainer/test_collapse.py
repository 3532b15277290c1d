"""One prediction for every row is said at each evaluation and in the result."""

import json
import math

import pytest
import torch

from ftcli.trainer.collapse import Collapse

HALF = torch.tensor([[0.9, 0.1], [0.8, 0.2]])


@pytest.mark.parametrize(
    ("scored", "said"),
    [
        ({"classes": (HALF, torch.tensor([0, 1]))}, "every prediction is 'a'"),
        ({"classes": (HALF, torch.tensor([0, 0]))}, None),
        ({"classes": (HALF.flip(0, 1)[:1].repeat(2, 1), torch.tensor([0, 1]))}, "every prediction is 'b'"),
        ({"classes": (torch.eye(2), torch.tensor([0, 1]))}, None),
        ({"ids": (torch.tensor([1, 1]), torch.tensor([0, 1]))}, "every prediction is 'b'"),
        ({"multilabel": (HALF * 0.1, torch.eye(2))}, "no label is predicted for any row"),
        ({"multilabel": (HALF, torch.eye(2))}, "every prediction is 'a'"),
        ({"multilabel": (torch.eye(2), torch.eye(2))}, None),
        ({"values": (HALF, HALF)}, None),
        ({"values": (torch.full((2,), 0.3), HALF[0])}, "every prediction is one number"),
        ({"values": (torch.full((2,), math.nan), HALF[0])}, None),
        ({"values": (HALF[0], HALF[0])}, None),
        ({"ranking": (HALF, torch.tensor([0, 1]))}, "every prediction is the choice number 1"),
        ({"answers": (["", ""], [["x"], ["y"]])}, "no answer is predicted for any row"),
        ({"answers": (["x", "x"], [["x"], ["y"]])}, "every answer is 'x'"),
        ({"answers": (["x", "y"], [["x"], ["y"]])}, None),
    ],
)
def test_what_every_row_is_predicted_as(scored, said):
    collapse = Collapse(["a", "b"])
    collapse.add(scored)
    collapse.add(scored)
    assert collapse.said() == said


def test_a_run_says_that_it_predicts_one_label(ftcli, tiny, tmp_path):
    alike = tmp_path / "alike.tsv"
    alike.write_text("text\tlabel\n" + "the was the was\tpositive\nthe was the was\tnegative\n" * 4)
    words = [
        f"data.files.validation={alike}",
        f"data.files.test={alike}",
        "trainer.max_steps=1",
        "--run-dir",
        "run",
    ]
    done = ftcli("train", *tiny, *words)
    assert done.code == 0, done.err
    result = json.loads((tmp_path / "work/run/result.json").read_text())
    lines = (tmp_path / "work/run/predictions/validation.jsonl").read_text().splitlines()
    predicted = {json.loads(line)["prediction"] for line in lines}
    assert len(predicted) == 1 and result["collapsed"] == f"every prediction is {predicted.pop()!r}"
    assert f"step 1: {result['collapsed']}" in done.out + done.err
    assert result["test_collapsed"] == result["collapsed"]
    assert f"no more than this: test, {result['collapsed']}" in done.out
    events = map(json.loads, (tmp_path / "work/run/metrics.jsonl").read_text().splitlines())
    assert [event.get("collapsed") for event in events if event["event"] == "eval"] == [result["collapsed"]]
    listed = ftcli("runs", "--runs-dir", "run")
    assert f"accuracy {result['metrics']['accuracy']:.4f} (collapsed)" in listed.out
    assert f"{result['collapsed']}; its figures are those of a constant" in " ".join(listed.out.split())
    (
        tmp_path / "work/run/result.json"
    ).unlink()  # of a run that is not finished, the last best evaluation says it
    shown = json.loads(ftcli("runs", "--runs-dir", "run", "--json").out)["runs"]
    assert [one["collapsed"] for one in shown] == [result["collapsed"]]
