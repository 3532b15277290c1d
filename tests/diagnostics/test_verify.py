"""`ftcli verify`: whole runs of every kind hold, one flipped bit anywhere is found and named, and nothing is written."""

import json
import os
import shutil
from pathlib import Path

import pytest
import tiny_models

KINDS = {
    "full": [],
    "phases": ["freezing=gradual", "freezing.num_phases=3", "trainer.epochs=3", "trainer.save_every_n_steps=2", "trainer.keep_checkpoints=9"],
    "lora": ["peft=lora", "peft.r=2"],
    "prefix": ["peft=prefix-tuning", "peft.num_virtual_tokens=3"],
    "cached": ["freezing=bottom-layers", "trainer.prefix_cache=disk", "trainer.epochs=3"],
    "seeds": ["seeds=[1,2]", "trainer.epochs=1"],
}  # fmt: skip


def words_of(tmp_path, more):
    model = tiny_models.write_model(tmp_path / "model", "bert")
    rows = tiny_models.write_rows(tmp_path / "rows")
    own = {word.partition("=")[0] for word in more}
    base = ["model=local", f"model.path={model}", "model.weights=random", "tokenizer.max_length=24", "data=text", f"data.path={rows}",
            "trainer.batch_size=8", "trainer.precision=fp32", "trainer.epochs=2", "optimizer.lr=3e-3", "trainer.log_every_n_steps=2"]  # fmt: skip
    return [*(word for word in base if word.partition("=")[0] not in own), *more]


def verified(ftcli, run, *more) -> tuple[int, dict[str, list[dict]]]:
    """Returns the exit code and the checks of each run; `holds` must say the same as the code."""
    before = tree(Path(run))
    done = ftcli("verify", str(run), "--json", *more)
    assert done.code in (0, 3), done.err
    assert "Traceback" not in done.err
    assert tree(Path(run)) == before, "verify wrote into the run directory"
    result = json.loads(done.out)
    assert result["holds"] == (done.code == 0)
    return done.code, result["runs"]


def tree(folder: Path) -> dict[str, tuple]:
    found = {}
    for path in folder.rglob("*"):
        stat = path.lstat()
        found[str(path)] = (stat.st_size, stat.st_mtime_ns, stat.st_mode)
    return found


def differing(runs: dict) -> list[str]:
    return [
        f"{one['what']}: {one['detail']}"
        for checks in runs.values()
        for one in checks
        if one["outcome"] == "differs"
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_run_holds_and_its_steps_give_the_same_bits(ftcli, tmp_path, kind):
    assert ftcli("train", *words_of(tmp_path, KINDS[kind]), "--run-dir", "run").code == 0
    code, runs = verified(ftcli, "run", "--steps", "6")
    assert code == 0, differing(runs)
    assert len(runs) == (3 if kind == "seeds" else 1)
    for path, checks in runs.items():
        results = {one["what"]: one for one in checks}
        if kind == "seeds" and path == "run":
            assert results["config.yaml"]["outcome"] == "same"
            continue
        for what in ("config.yaml", "plan.json", "data.json", "environment.json", "result.json", "predictions/validation.jsonl",
                     "metrics.jsonl", "train rows", "validation rows", "tokenizer", "model", "plan"):  # fmt: skip
            assert results[what]["outcome"] == "same", results[what]
        again = results["steps taken again"]
        assert again["outcome"] == "same" and "weights, optimizer state and counters" in again["detail"], (
            again
        )
        assert "train and eval events" in again["detail"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run and its sources, which tests copy."""
    from ftcli.cli.app import app

    root = tmp_path_factory.mktemp("verify")
    os.environ["FTCLI_CACHE"], before = str(root / "cache"), os.environ.get("FTCLI_CACHE")
    with pytest.raises(SystemExit) as ended:
        app(
            [
                "train",
                *words_of(root, ["trainer.save_every_n_steps=3", "trainer.keep_checkpoints=9"]),
                "--quiet",
                "--run-dir",
                str(root / "run"),
            ]
        )
    os.environ.pop("FTCLI_CACHE") if before is None else os.environ.update(FTCLI_CACHE=before)
    assert not ended.value.code
    return root


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("checkpoints/step-000006/model.safetensors", "model.safetensors: differs from the sha256 in its manifest"),
        ("checkpoints/step-000006/optimizer.safetensors", "optimizer.safetensors: differs from the sha256"),
        ("checkpoints/step-000006/state.json", "state.json: differs from the sha256"),
        ("checkpoints/step-000006/manifest.json", "manifest.json: is missing or damaged"),
        ("config.yaml", "config.yaml is not what was written"), ("plan.json", "plan.json is not what was written"),
        ("data.json", "data.json is not what was written"), ("environment.json", "environment.json is not what was written"),
        ("result.json", "result.json is not what was written"), ("command.txt", "command.txt is not what was written"),
        ("predictions/validation.jsonl", "validation.jsonl is not what was written"),
        ("metrics.jsonl", "metrics.jsonl is not what was written between byte"), ("hashes.json", "hashes.json"),
    ],
)  # fmt: skip
def test_one_flipped_bit_is_found_and_named(ftcli, trained, tmp_path, name, said):
    run = tmp_path / "run"
    shutil.copytree(trained / "run", run, symlinks=True)
    content = bytearray((run / name).read_bytes())
    content[len(content) // 2] ^= 4
    (run / name).write_bytes(content)
    code, runs = verified(ftcli, run)
    assert code == 3
    found = [
        line.replace(" is missing or damaged", ": is missing or damaged").replace(
            " differs from", ": differs from"
        )
        for line in differing(runs)
    ]
    if (
        name == "hashes.json"
    ):  # the bit may lie in a name, a hash or the syntax: something is named in each case
        assert found
    else:
        assert any(said in line for line in found), found


def test_other_rows_and_another_model_are_named(ftcli, trained, tmp_path):
    file = trained / "rows/train.tsv"
    text = file.read_text()
    try:
        file.write_text(text[:-3] + chr(ord(text[-3]) ^ 1) + text[-2:])
        code, runs = verified(ftcli, trained / "run")
        assert code == 3 and any(
            line.startswith(f"train rows: {file} holds other rows") for line in differing(runs)
        ), runs
    finally:
        file.write_text(text)
    file = trained / "model/config.json"
    text = file.read_text()
    try:
        file.write_text(text.replace("0.2", "0.3", 1))
        code, runs = verified(ftcli, trained / "run")
        assert code == 3 and any(
            line.startswith("model: ") and "changed since" in line for line in differing(runs)
        ), runs
    finally:
        file.write_text(text)
    assert verified(ftcli, trained / "run")[0] == 0


def test_numbers_that_hashes_agree_with_are_found_by_the_steps(ftcli, trained, tmp_path):
    """A run directory made to look right: the checkpoint's manifest and the hash of metrics.jsonl are those of the changed bytes."""
    from safetensors.torch import load_file, save_file

    from ftcli.storage.manifest import MANIFEST, seal, verify

    run = tmp_path / "run"
    shutil.copytree(trained / "run", run, symlinks=True)
    folder = max(path for path in (run / "checkpoints").glob("step-*"))
    about = verify(folder)["about"]
    (folder / MANIFEST).unlink()
    tensors = load_file(folder / "model.safetensors")
    name = min(tensors)
    tensors[name].view(-1)[0] += 1e-3
    save_file(tensors, folder / "model.safetensors")
    seal(folder, about)
    code, runs = verified(ftcli, run)
    (line,) = differing(runs)
    assert (
        code == 3 and f"1 of {len(tensors)} tensors differ from the steps taken again, such as {name}" in line
    )


def test_an_interrupted_run_and_one_of_an_older_version(ftcli, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained / "run", run, symlinks=True)
    for name in ("result.json", "hashes.json"):
        (run / name).unlink()
    shutil.rmtree(max((run / "checkpoints").glob("step-*")))
    code, runs = verified(ftcli, run)
    (checks,) = runs.values()
    assert code == 0, differing(runs)
    assert {
        "what": "config.yaml",
        "outcome": "not checked",
        "detail": "readable; its hash was not recorded",
    } in checks
    assert [one for one in checks if one["what"] == "steps taken again"][0]["outcome"] == "same"


@pytest.mark.parametrize(("key", "value"), [("cpu", "Another CPU"), ("device", "cuda"), ("torch", "1.0")])
def test_another_machine_is_not_comparable_and_no_fault(ftcli, trained, tmp_path, key, value):
    run = tmp_path / "run"
    shutil.copytree(trained / "run", run, symlinks=True)
    (run / "hashes.json").unlink()
    found = json.loads((run / "environment.json").read_text())
    place = {"device": found["decisions"], "torch": found["packages"]}.get(key, found)
    place[key] = value
    (run / "environment.json").write_text(json.dumps(found))
    code, runs = verified(ftcli, run)
    (checks,) = runs.values()
    again = next(one for one in checks if one["what"] == "steps taken again")
    assert (
        code == 0
        and again["outcome"] == "not checked"
        and value in again["detail"]
        and "not comparable" in again["detail"]
    )
