"""Loading: what is fresh, what is refused, and that a head depends on the seed alone."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
import torch
from built_models import built, edit_config, rewrite, tensors
from safetensors.torch import load_file, save_file
from tiny_models import ARCHITECTURES

from ftcli.config.schema import Weights
from ftcli.errors import SourceError

HEADS = {
    "bert": ["classifier.weight", "classifier.bias"],
    "roberta": ["classifier.dense.weight", "classifier.dense.bias", "classifier.out_proj.weight", "classifier.out_proj.bias"],
    "distilbert": ["pre_classifier.weight", "pre_classifier.bias", "classifier.weight", "classifier.bias"],
    "deberta-v2": ["pooler.dense.weight", "pooler.dense.bias", "classifier.weight", "classifier.bias"],
    "albert": ["classifier.weight", "classifier.bias"],
    "electra": ["classifier.dense.weight", "classifier.dense.bias", "classifier.out_proj.weight", "classifier.out_proj.bias"],
    "gpt2": ["score.weight"],
    "opt": ["score.weight"],
    "llama": ["score.weight"],
    "qwen2": ["score.weight"],
    "bart": [
        "classification_head.dense.weight", "classification_head.dense.bias",
        "classification_head.out_proj.weight", "classification_head.out_proj.bias",
    ],
}  # fmt: skip  # noqa: E501


# --- what is loaded and what is fresh


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_base_tensors_are_the_files_and_the_head_is_named_fresh(
    name: str, tmp_path: Path, models: ModuleType
) -> None:
    folder = models.write_model(tmp_path, name)
    result = built(folder)
    assert list(result.fresh) == HEADS[name]
    held = load_file(folder / "model.safetensors")
    prefix = result.model.base_model_prefix + "."
    base = {n.removeprefix(prefix): p for n, p in tensors(result).items() if n.startswith(prefix)}
    assert all(torch.equal(base[n], held[n]) for n in base if n in held)
    assert len(base.keys() & held.keys()) >= len(base) - 1  # a tied tensor may be stored under its other name
    assert any(
        line.startswith("fresh head, drawn from seed 0: " + HEADS[name][0]) for line in result.decisions
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_head_depends_on_the_seed_alone(name: str, tmp_path: Path, models: ModuleType) -> None:
    folder = models.write_model(tmp_path, name)
    torch.manual_seed(1)
    first = built(folder, seed=5)
    torch.manual_seed(2)
    torch.rand(17)
    state = torch.get_rng_state()
    second, other = built(folder, seed=5), built(folder, seed=6)
    assert torch.equal(torch.get_rng_state(), state)  # left as it was
    for n in first.fresh:
        assert torch.equal(tensors(first)[n], tensors(second)[n])
    assert any(not torch.equal(tensors(first)[n], tensors(other)[n]) for n in first.fresh)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_random_weights_are_all_fresh_and_seeded(name: str, tmp_path: Path, models: ModuleType) -> None:
    folder = models.write_config(tmp_path, name)
    first = built(folder, weights=Weights.random, seed=3)
    torch.rand(5)
    second = built(folder, weights=Weights.random, seed=3)
    assert first.fresh == tuple(tensors(first))
    assert all(torch.equal(p, tensors(second)[n]) for n, p in tensors(first).items())
    assert "all weights are random, drawn from seed 3" in first.decisions


def test_a_trained_head_is_kept(tmp_path: Path, models: ModuleType) -> None:
    folder = models.write_model(tmp_path, "bert", head=True)
    result = built(folder, labels=["LABEL_0", "LABEL_1"], require_head=True)
    assert result.fresh == ()
    assert torch.equal(
        tensors(result)["classifier.weight"], load_file(folder / "model.safetensors")["classifier.weight"]
    )
    assert result.decisions == ["the head comes from the files, with the labels LABEL_0, LABEL_1"]


def test_other_label_names_are_reported(tmp_path: Path, models: ModuleType) -> None:
    result = built(models.write_model(tmp_path, "bert", head=True), labels=["no", "yes"])
    assert result.decisions == ["the head comes from the files; its labels LABEL_0, LABEL_1 now mean no, yes"]


@pytest.mark.parametrize("labels", [["LABEL_1", "LABEL_0"], ["label_1", "label_0"]])
def test_a_head_to_be_scored_gives_the_order_of_the_labels(
    labels, tmp_path: Path, models: ModuleType
) -> None:
    folder = models.write_model(tmp_path, "bert", head=True)
    before = tensors(built(folder, labels=["LABEL_0", "LABEL_1"], require_head=True))["classifier.weight"]
    result = built(folder, labels=labels, require_head=True)
    assert torch.equal(tensors(result)["classifier.weight"], before[[1, 0]])
    assert "rows moved from the order LABEL_0, LABEL_1" in result.decisions[-1]


@pytest.mark.parametrize("name", ["bert", "gpt2", "roberta", "bart"])
def test_rows_of_a_head_follow_the_order_of_the_labels(name: str, tmp_path: Path, models: ModuleType) -> None:
    folder = models.write_model(tmp_path, name, head=True, labels=3)
    before = tensors(built(folder, labels=["LABEL_0", "LABEL_1", "LABEL_2"]))
    result = built(folder, labels=["LABEL_2", "LABEL_0", "LABEL_1"])
    rows = [key for key in HEADS[name] if before[key].shape[0] == 3]
    assert rows and not torch.equal(before[rows[0]], before[rows[0]][[2, 0, 1]])
    for key, tensor in tensors(result).items():
        assert torch.equal(tensor, before[key][[2, 0, 1]] if key in rows else before[key]), key
    assert "rows moved from the order LABEL_0, LABEL_1, LABEL_2" in result.decisions[-1]


@pytest.mark.parametrize("name", ["bert", "gpt2", "roberta", "bart"])
def test_a_head_of_another_size_is_initialized_again_and_reported(
    name: str, tmp_path: Path, models: ModuleType
) -> None:
    folder = models.write_model(tmp_path, name, head=True, labels=3)
    result = built(folder, labels=2)
    assert result.fresh == tuple(
        n for n in HEADS[name] if n.rpartition(".")[0].endswith(("classifier", "score", "out_proj"))
    )
    assert "the head in the files has 3 labels, not 2: it is re-initialized" in result.decisions
    assert torch.equal(tensors(result)[result.fresh[0]], tensors(built(folder, labels=2))[result.fresh[0]])


def test_a_head_is_demanded_where_a_model_is_scored(tmp_path: Path, models: ModuleType) -> None:
    with pytest.raises(SourceError, match="no trained head"):
        built(models.write_model(tmp_path, "bert"), require_head=True)


def test_a_missing_pooler_is_fresh_and_said(tmp_path: Path, models: ModuleType) -> None:
    folder = models.write_model(tmp_path, "bert")
    rewrite(folder, lambda held: [held.pop(n) for n in list(held) if n.startswith("pooler")])
    result = built(folder)
    assert result.fresh == ("bert.pooler.dense.weight", "bert.pooler.dense.bias", *HEADS["bert"])
    assert "bert.pooler.dense.weight" in result.decisions[0]


def test_a_missing_base_tensor_is_an_error(tmp_path: Path, models: ModuleType) -> None:
    folder = models.write_model(tmp_path, "bert")
    rewrite(folder, lambda held: held.pop("encoder.layer.1.attention.self.query.weight"))
    with pytest.raises(
        SourceError, match=r"lacks 1 tensors.*encoder\.layer\.1\.attention\.self\.query\.weight"
    ):
        built(folder)


def test_a_base_tensor_of_another_shape_is_an_error(tmp_path: Path, models: ModuleType) -> None:
    folder = models.write_model(tmp_path, "bert")
    edit_config(folder, vocab_size=50)
    with pytest.raises(SourceError, match=r"\(48, 32\); config\.json makes it \(50, 32\)"):
        built(folder)


def test_leftover_tensors_are_listed(tmp_path: Path, models: ModuleType) -> None:
    folder = models.write_model(tmp_path, "bert")
    rewrite(folder, lambda held: held.update({f"cls.x{i}": torch.zeros(1) for i in range(6)}))
    assert (
        "not used by the model, dropped: cls.x0, cls.x1, cls.x2, cls.x3 and 2 more" in built(folder).decisions
    )


def test_shards_make_the_same_model(tmp_path: Path, models: ModuleType) -> None:
    folder = models.write_model(tmp_path, "gpt2")
    whole = tensors(built(folder))
    held = load_file(folder / "model.safetensors")
    names = sorted(held)
    where = {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({n: held[n].clone() for n in part}, folder / file)
        where |= dict.fromkeys(part, file)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    sharded = tensors(built(folder))
    assert all(torch.equal(p, sharded[n]) for n, p in whole.items())


def test_nothing_else_in_the_folder_takes_part(tmp_path: Path, models: ModuleType) -> None:
    """Not an adapter, which would name another base model; not Python, and not a pickle."""
    folder = models.write_model(tmp_path, "bert")
    expected = tensors(built(folder))
    (folder / "adapter_config.json").write_text(
        '{"base_model_name_or_path": "owner/elsewhere", "peft_type": "LORA"}'
    )
    (folder / "modeling_evil.py").write_text("raise SystemExit('ran')")
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    edit_config(
        folder, auto_map={"AutoModelForSequenceClassification": "modeling_evil.Evil"}, trust_remote_code=True
    )
    result = tensors(built(folder))
    assert all(torch.equal(p, result[n]) for n, p in expected.items())


# --- meta


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_meta_has_the_same_names_shapes_and_fresh(name: str, tmp_path: Path, models: ModuleType) -> None:
    folder = models.write_model(tmp_path, name)
    real, meta = built(folder), built(folder, meta=True)
    assert {p.device.type for p in meta.model.parameters()} == {"meta"}
    assert {n: p.shape for n, p in tensors(meta).items()} == {n: p.shape for n, p in tensors(real).items()}
    assert (meta.fresh, meta.decisions) == (real.fresh, real.decisions)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_meta_without_weights_calls_the_head_fresh(name: str, tmp_path: Path, models: ModuleType) -> None:
    result = built(models.write_config(tmp_path, name), meta=True)
    assert set(result.fresh) >= set(HEADS[name])
    assert set(result.fresh) - set(HEADS[name]) <= {n for n in tensors(result) if ".pooler" in n}
    random = built(tmp_path, meta=True, weights=Weights.random)
    assert random.fresh == tuple(tensors(random))
