"""Loads exported folders with plain transformers and peft, and runs them: the other side of the proof.

Run as a program of its own (`python -I reload.py JOB OUT`), it imports nothing of ftcli. The job is a JSON
list; each entry names a folder, how to load it, and the safetensors file of its inputs. OUT gets
`NUMBER.safetensors`, the outputs of every pass, and `reports.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

UNPADDED, PADDED = "unpadded", "padded"


def main(job: Path, out: Path) -> None:
    """Runs every entry of a job file."""
    from safetensors.torch import save_file

    reports = []
    for number, entry in enumerate(json.loads(job.read_text(encoding="utf-8"))):
        outputs, report = run(entry)
        save_file(outputs, out / f"{number}.safetensors")
        reports.append(report)
    (out / "reports.json").write_text(json.dumps(reports), encoding="utf-8")


def run(entry: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the outputs of each pass, and what loading said.

    Args:
        entry: `folder`, `auto_class`, `dtype`, `device`, `threads`, `inputs` (a file of `BATCH/NAME` tensors),
            `passes` of (attention kind, padded or unpadded, one of how many sequences of each batch), `base` where the folder holds an adapter, `texts`,
            the text or two of each sequence, which the folder's own tokenizer reads in the unpadded pass, and
            `probes`, more texts for the tokenizer. `form` says how the head is called
            (`ftcli.batching.head.Head`): `outputs`, `per_token`, `one_row`, `vocabulary`, and `columns` of a vocabulary's outputs.
            `prompts` are token ids that a language model goes on with, by at most `max_new_tokens` or to one of `stops`.
    """
    import torch

    if entry["threads"]:
        torch.set_num_threads(entry["threads"])
    batches = read_batches(Path(entry["inputs"]))
    alone = unpadded(batches)
    ids, probes = tokenize(entry, alone) if any(entry["texts"]) or entry["probes"] else ([], [])
    outputs: dict[str, Any] = {}
    report: dict[str, Any] = {"keys": []}
    models: dict[str, Any] = {}
    for attention, shape, every in entry["passes"]:
        if attention not in models:
            models = {attention: load(entry, attention, report)}
        kept = sequences_of(batches, every)
        given = [alone[i] for i in kept] if shape == UNPADDED else fewer(batches, every)
        values, counts = outputs_of(models[attention], given, entry["device"], entry["form"])
        outputs |= {f"{attention}/{shape}": values, f"{attention}/{shape}/counts": counts}
    report["ids"], report["probes"] = ids, probes
    named = {} if entry["form"]["vocabulary"] else models[attention].config.id2label
    report["labels"] = {str(k): v for k, v in named.items()}
    report["generated"] = generated(models[attention], entry) if entry["prompts"] else []
    report["modules"] = sorted({name.partition(".")[0] for name in sys.modules} & {"ftcli", "peft"})
    return outputs, report


def generated(model: Any, entry: dict[str, Any]) -> list[list[int]]:
    """Returns the ids that plain `generate` adds to each prompt, always the most probable one.

    Args:
        model: of transformers or peft, in eval mode.
        entry: as in `run`.
    """
    import warnings

    import torch
    from transformers import GenerationConfig

    settings = GenerationConfig(
        do_sample=False,
        max_new_tokens=entry["max_new_tokens"],
        eos_token_id=entry["stops"] or None,
        pad_token_id=entry["pad_id"],
    )
    found = []
    for prompt in entry["prompts"]:
        ids = torch.tensor([prompt], device=entry["device"])
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # plain peft says that it counts positions itself
            text = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings
            )
        found.append(text[0, len(prompt) :].tolist())
    return found


def load(entry: dict[str, Any], attention: str, report: dict[str, Any]) -> Any:
    """Returns the model in eval mode.

    Args:
        entry: as in `run`.
        attention: `eager` or `sdpa`.
        report: whatever was missing or left over goes to its `keys`.
    """
    import torch
    import transformers

    options: dict[str, Any] = {
        "dtype": getattr(torch, entry["dtype"]),
        "attn_implementation": attention,
        "output_loading_info": True,
        "local_files_only": True,
    }
    auto = getattr(transformers, entry["auto_class"])
    if entry.get("base") is None:
        model, info = auto.from_pretrained(entry["folder"], **options)
        kinds = ("missing_keys", "unexpected_keys", "mismatched_keys")
        report["keys"] += [f"{kind.split('_')[0]}: {key}" for kind in kinds for key in map(str, info[kind])]
    else:
        config = transformers.AutoConfig.from_pretrained(entry["folder"])
        options["ignore_mismatched_sizes"] = True
        base, info = auto.from_pretrained(entry["base"], config=config, **options)
        model = with_adapter(base, info, entry["folder"], report)
    return aligned(model.to(entry["device"]).eval())


def aligned(model: Any) -> Any:
    """Returns the model with every tensor where torch's allocator puts it.

    Weights that are mapped from a file lie at any address, and a matrix product with one output (a regression, the score of a
    choice) takes another kernel there: outputs then differ by a rounding, about 1e-7.
    """
    for tensor in [*model.parameters(), *model.buffers()]:
        tensor.data = tensor.data.clone()
    return model


def with_adapter(base: Any, info: dict[str, Any], folder: str, report: dict[str, Any]) -> Any:
    """Returns peft's model.

    Args:
        base: of transformers.
        info: of its loading.
        folder: with the adapter.
        report: what neither the base's files nor the adapter's give goes to its `keys`.
    """
    import warnings

    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import safe_open

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(base, folder)
    report["keys"] += [str(w.message) for w in said if "adapter keys" in str(w.message)]
    with safe_open(str(Path(folder) / "adapter_model.safetensors"), framework="pt") as file:
        stored = set(file.keys())
    wanted = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    report["keys"] += [f"missing: {key}" for key in sorted(wanted - stored)]
    report["keys"] += [f"unexpected: {key}" for key in sorted(stored - wanted)]
    misfits = [str(key[0] if isinstance(key, tuple | list) else key) for key in info["mismatched_keys"]]
    report["resized"] = bool(misfits)
    for key in [*info["missing_keys"], *misfits]:
        if not any(name.endswith(f".{key}") for name in stored):
            report["keys"].append(f"newly initialised: {key}")
    return model


def read_batches(file: Path) -> list[dict[str, Any]]:
    """Returns the batches of a file of `BATCH/NAME` tensors, in their order."""
    from safetensors.torch import load_file

    batches: dict[int, dict[str, Any]] = {}
    for key, tensor in load_file(file).items():
        number, _, name = key.partition("/")
        batches.setdefault(int(number), {})[name] = tensor
    return [batches[number] for number in sorted(batches)]


def unpadded(batches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns every sequence (or image) as a batch of its own, without padding."""
    alone = []
    for batch in batches:
        for i in range(len(next(iter(batch.values())))):
            real = batch["attention_mask"][i].bool() if "attention_mask" in batch else slice(None)
            alone.append({name: tensor[i][real][None] for name, tensor in batch.items()})
    return alone


def fewer(batches: list[dict[str, Any]], every: int) -> list[dict[str, Any]]:
    """Returns one of `every` sequences of each batch, beginning with its first, padded as they are."""
    return [{name: tensor[::every] for name, tensor in batch.items()} for batch in batches]


def sequences_of(batches: list[dict[str, Any]], every: int) -> list[int]:
    """Returns the numbers of the sequences that `fewer` keeps."""
    numbers: list[int] = []
    first = 0
    for batch in batches:
        stop = first + len(next(iter(batch.values())))
        numbers += range(first, stop, every)
        first = stop
    return numbers


def outputs_of(
    model: Any, batches: list[dict[str, Any]], device: str, form: dict[str, Any]
) -> tuple[Any, Any]:
    """Returns a model's outputs at all places that are no padding.

    Args:
        model: of transformers or peft, in eval mode.
        batches: of input tensors, each (num_sequences, ...).
        device: where the model is.
        form: as in `run`.

    Returns:
        values: (num_places, num_outputs) fp32; one place a sequence, or one a token of it.
        counts: (num_sequences,) int64, how many places each sequence has.
    """
    import torch

    values, counts = [], []
    with torch.no_grad():
        for batch in batches:
            for found in _by_sequence(model, {k: v.to(device) for k, v in batch.items()}, form):
                values.append(found.float().cpu())
                counts.append(len(found))
    return torch.cat(values), torch.tensor(counts)


def _by_sequence(model: Any, batch: dict[str, Any], form: dict[str, Any]) -> list[Any]:
    """Returns the outputs of each sequence of a batch, (num_places, num_outputs)."""
    import torch

    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    dtype = next(p.dtype for p in inner.parameters())
    batch = {name: v.to(dtype) if v.is_floating_point() else v for name, v in batch.items()}
    if form["one_row"]:
        # One row whose choices are all sequences of the batch: rows may differ in how many they have.
        return list(model(**{name: v[None] for name, v in batch.items()}).logits[0][:, None, None])
    # As in training: keys and values that go through a cache lie elsewhere in memory, and products of them are rounded otherwise.
    found = model(**batch, use_cache=False) if form["vocabulary"] else model(**batch)
    scores = [found[name] for name in form["outputs"]]
    logits = scores[0] if len(scores) == 1 else torch.stack(scores, -1)
    if not form["per_token"]:
        return list(logits[:, None])
    logits = logits[
        :, -batch["attention_mask"].shape[1] :
    ]  # plain peft answers for the places of a prompt too
    rows = [row[mask.bool()] for row, mask in zip(logits, batch["attention_mask"], strict=True)]
    if form["columns"] is None:
        return rows
    return [torch.cat([row[:, form["columns"]], row.float().logsumexp(-1, keepdim=True)], 1) for row in rows]


def tokenize(entry: dict[str, Any], alone: list[dict[str, Any]]) -> tuple[list[list[int]], list[list[int]]]:
    """Reads texts by the folder's own tokenizer, and puts what it gives in the place of the run's inputs.

    Args:
        entry: as in `run`.
        alone: a batch of one sequence each, changed in place where the sequence has a text.

    Returns:
        The ids of each sequence, empty for one without a text, and those of the probes, all cut at the tokenizer's own length.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(entry["folder"], local_files_only=True)
    found: list[list[int]] = []
    for batch, texts in zip(alone, entry["texts"], strict=True):
        read = tokenizer(*texts, truncation=True, return_tensors="pt") if texts else {}
        batch |= {name: read[name] for name in batch if name in read}
        found.append(batch["input_ids"][0].tolist() if texts else [])
    return found, [tokenizer(*texts, truncation=True)["input_ids"] for texts in entry["probes"]]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
