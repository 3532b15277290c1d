"""Methods x architectures x tasks: written, reloaded by plain libraries, and the same to the last bit."""

import json

import pytest

FULL, LORA = (), ("peft=lora", "peft.r=4")
VIT = (*LORA, "peft.target_modules=[q_proj,v_proj]")
SEQUENCE, TOKENS, ANSWERS = "sequence-classification", "token-classification", "extractive-qa"
PAIRS = [
    *[(SEQUENCE, architecture, FULL) for architecture in ("gpt2", "deberta-v2")],
    *[(SEQUENCE, architecture, LORA) for architecture in ("bert", "deberta-v2", "albert", "gpt2", "llama")],
    *[(task, "bert", LORA) for task in ("multi-label", "regression", TOKENS, ANSWERS, "multiple-choice")],
    *[("image-classification", "vit", method) for method in (FULL, VIT)],
    *[(SEQUENCE, architecture, (f"peft={method}",)) for architecture, method in (
        ("bert", "dora"), ("gpt2", "dora"), ("bert", "pissa"), ("roberta", "rslora"), ("distilbert", "lora-plus"),
        ("bert", "adalora"), ("deberta-v2", "adalora"), ("bert", "ia3"), ("gpt2", "ia3"), ("roberta", "vera"),
        ("bert", "loha"), ("roberta", "lokr"), ("electra", "boft"), ("bert", "layernorm-tuning"), ("llama", "layernorm-tuning"))],
    (SEQUENCE, "bert", ("peft=oft", "peft.oft_block_size=8")), (SEQUENCE, "opt", ("peft=miss", "peft.r=4")),
    *[(SEQUENCE, architecture, (f"peft={method}", "peft.num_virtual_tokens=4")) for architecture, method in (
        ("bert", "prompt-tuning"), ("gpt2", "prompt-tuning"), ("llama", "p-tuning"), ("albert", "p-tuning"),
        ("bert", "prefix-tuning"), ("opt", "prefix-tuning"))],
    (SEQUENCE, "bert", ("peft=prefix-tuning", "peft.num_virtual_tokens=4", "peft.prefix_projection=true")),
    (SEQUENCE, "roberta", ("peft=p-tuning", "peft.num_virtual_tokens=4", "peft.encoder_reparameterization_type=lstm")),
    (TOKENS, "bert", ("peft=prompt-tuning", "peft.num_virtual_tokens=4")),
    ("regression", "bert", FULL), ("multiple-choice", "bert", FULL), (TOKENS, "distilbert", FULL), (ANSWERS, "roberta", FULL), ("multiple-choice", "gpt2", LORA),
]  # fmt: skip
"""Task, architecture, words of the method: a new method or architecture is one more line."""
MERGED = [(SEQUENCE, "gpt2", LORA), (SEQUENCE, "distilbert", LORA), (TOKENS, "bert", LORA),
          ("image-classification", "vit", VIT),
          *[(SEQUENCE, "bert", (f"peft={method}",)) for method in ("dora", "rslora", "lora-plus", "pissa", "adalora", "ia3", "vera", "boft",
                                                                   "loha", "lokr", "layernorm-tuning")],
          (SEQUENCE, "bert", ("peft=oft", "peft.oft_block_size=8")), (SEQUENCE, "bert", ("peft=miss", "peft.r=4"))]  # fmt: skip


def last_column(architecture: str, method: tuple[str, ...]) -> bool:
    """Plain peft's classifier of a decoder reads the last column of a batch whose rows begin with a prompt."""
    return architecture in ("gpt2", "llama") and method[:1] in (("peft=prompt-tuning",), ("peft=p-tuning",))


def name(case) -> str:
    task, architecture, *method = case
    return "-".join([task, architecture, *(method[0][:1] if method else ())])


@pytest.mark.parametrize("case", PAIRS, ids=name)
def test_answers_are_the_runs_own_to_the_last_bit(case, train, ftcli, in_this_process, tmp_path):
    task, architecture, method = case
    run, folder = train(task, architecture, *method), tmp_path / "out"
    done = ftcli("export", str(run), str(folder), "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    recorded, *others = result["passes"]
    if last_column(architecture, method):
        assert not others and recorded["worst"] <= recorded["tolerance"] == 1e-5
        assert "unpadded" in recorded["name"] and "One row at a time" in (folder / "README.md").read_text()
    else:
        assert recorded["worst"] == recorded["tolerance"] == 0.0
        assert others and all(one["worst"] <= one["tolerance"] == 1e-5 for one in others)
    assert recorded["compared"] > 0
    assert result["kind"] == ("adapter" if method else "plain")
    [report] = in_this_process
    assert report["keys"] == []
    files = {path.name for path in folder.iterdir()}
    assert {"README.md", "config.json"} < files
    assert ("adapter_model.safetensors" in files) == bool(method) != ("model.safetensors" in files)


@pytest.mark.parametrize("case", MERGED, ids=name)
def test_merged_weights_answer_alike_without_peft(case, train, ftcli, in_this_process, tmp_path):
    task, architecture, method = case
    run, folder = train(task, architecture, *method), tmp_path / "out"
    done = ftcli("export", str(run), str(folder), "--merge", "--json")
    assert done.code == 0, done.err
    assert all(one["worst"] <= one["tolerance"] == 1e-5 for one in json.loads(done.out)["passes"])
    assert not (folder / "adapter_config.json").exists()


@pytest.mark.parametrize("method", [FULL, LORA], ids=["full", "lora"])
def test_half_precision_is_close_and_half_as_large(method, train, ftcli, in_this_process, tmp_path):
    run, folder = train(SEQUENCE, "bert", *method), tmp_path / "out"
    done = ftcli("export", str(run), str(folder), "--dtype", "float16", "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert all(0 < one["worst"] <= one["tolerance"] == 2e-2 for one in result["passes"])
    assert result["dtype"] == json.loads((folder / "config.json").read_text())["dtype"] == "float16"


def test_what_a_peft_run_trained_beside_adapters_and_head_comes_along(
    train, ftcli, in_this_process, tmp_path
):
    from safetensors.torch import load_file

    from ftcli.export import export as session

    run, folder = train(SEQUENCE, "bert", *LORA), tmp_path / "out"
    name = "bert.encoder.layer.1.output.LayerNorm.weight"
    open_run = session._open

    def changed(*arguments):
        finished, missing = open_run(*arguments)
        finished.model.get_parameter(name).data += 0.5
        return finished, missing

    session._open = changed
    try:
        done = ftcli("export", str(run), str(folder), "--json")
    finally:
        session._open = open_run
    assert done.code == 0, done.err
    assert json.loads(done.out)["passes"][0]["worst"] == 0.0
    assert f"base_model.model.{name}" in load_file(folder / "adapter_model.safetensors")


@pytest.mark.filterwarnings("ignore")  # peft's, of a layer it has not seen and of renamed properties
def test_a_head_that_peft_leaves_wrapped_is_unwrapped_on_merging(tmp_path):
    import peft
    import torch
    from tiny_weights import tiny_config
    from transformers import AutoModelForSequenceClassification

    from ftcli.export.adapter import merged

    config = peft.LNTuningConfig(
        task_type="SEQ_CLS", target_modules=["LayerNorm"], modules_to_save=["classifier"]
    )
    base = AutoModelForSequenceClassification.from_config(tiny_config("bert"))
    names = set(base.state_dict())
    model = peft.get_peft_model(base, config).eval()
    head = model.base_model.model.classifier.modules_to_save["default"]
    head.weight.data += 1
    ids = torch.tensor([[2, 7, 9, 3]])
    with torch.no_grad():
        before = model(input_ids=ids).logits
        plain = merged(model, "layernorm-tuning")
        assert torch.allclose(plain(input_ids=ids).logits, before, atol=1e-6)
    assert set(plain.state_dict()) == names and plain.classifier is head


def test_the_proof_reads_special_tokens_as_plain_transformers_does(
    train, ftcli, in_this_process, tmp_path, monkeypatch
):
    from ftcli.tokenizer.text import TextTokenizer

    run = train(SEQUENCE, "bert")
    done = ftcli("export", str(run), str(tmp_path / "out"), "--json")
    assert done.code == 0, done.err
    [report] = in_this_process
    assert report["probes"][0][:1] + report["probes"][0][-1:] == [1, 2] and len(report["probes"]) >= 4
    assert all(report["ids"])  # every row's ids are the plain tokenizer's
    save = TextTokenizer.save

    def saved_otherwise(self, folder, model_folder):
        save(self, folder, model_folder)
        file = folder / "tokenizer_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"split_special_tokens": True}))

    monkeypatch.setattr(TextTokenizer, "save", saved_otherwise)
    done = ftcli("export", str(run), str(tmp_path / "other"))
    assert done.code == 3 and "texts otherwise" in done.err and not (tmp_path / "other").exists()


@pytest.mark.parametrize(("layers", "factor"), [(1, 1.0), (2, 1.0), (8, 2.0), (24, 12**0.5)])
def test_the_tolerance_grows_with_the_square_root_of_depth(layers, factor):
    from transformers import BartConfig, BertConfig

    from ftcli.export.passes import depth_factor

    assert depth_factor(BertConfig(num_hidden_layers=layers)) == pytest.approx(factor)
    assert depth_factor(BartConfig(encoder_layers=12, decoder_layers=12)) == pytest.approx(12**0.5)


def test_later_passes_take_a_part_of_each_batch_and_are_compared_with_its_own_rows():
    import numpy as np
    import torch

    from ftcli.export.parity import chosen
    from ftcli.export.reload import fewer, sequences_of

    batches = [{"input_ids": torch.arange(5)[:, None]}, {"input_ids": torch.arange(5, 7)[:, None]}]
    kept = sequences_of(batches, 2)
    assert kept == [0, 2, 4, 5]
    assert torch.cat([batch["input_ids"] for batch in fewer(batches, 2)])[:, 0].tolist() == kept
    assert sequences_of(batches, 1) == list(range(7))
    counts = np.array([1, 3, 2, 1, 1, 2, 1])
    owners = np.repeat(np.arange(7), counts)[:, None]
    values, own = chosen((owners, counts), kept)
    assert values[:, 0].tolist() == [0, 2, 2, 4, 5, 5] and own.tolist() == [1, 2, 1, 2]


def test_a_small_logit_beside_a_large_one_is_measured_by_the_large_one():
    import numpy as np

    from ftcli.batching.label_scale import LabelScale
    from ftcli.export.differences import compare
    from ftcli.export.passes import Pass

    right = np.array([[100.0, 0.5]], np.float32), np.array([1])
    way = Pass("eager", "padded", 1e-5)
    outputs = {"eager/padded": np.array([[100.0, 0.5005]], np.float32), "eager/padded/counts": np.array([1])}
    compare(way, outputs, right, ["row 1"], ["a", "b"], LabelScale())
    assert way.worst == pytest.approx(5e-6, rel=1e-3)
