"""Every adapter in a run: what trains, what is saved, resuming, memory, tasks, and what is refused before."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_models
import tiny_tasks
import torch

from ftcli.config.compose import load
from ftcli.config.validate import problems_of
from ftcli.errors import ConfigError
from ftcli.plan.optimizer_state import named_state
from ftcli.run.data_checks.masks import prove_masks
from ftcli.run.encode import encode_parts
from ftcli.run.inputs import load_inputs
from ftcli.run.model import build_model
from ftcli.trainer.signals import Interrupted

PROMPTS = {
    "prompt": ["peft=prompt-tuning"],
    "text": ["peft=prompt-tuning", "peft.prompt_tuning_init=text", "peft.prompt_tuning_init_text=was it good"],
    "p": ["peft=p-tuning"],
    "lstm": ["peft=p-tuning", "peft.encoder_reparameterization_type=lstm", "peft.encoder_hidden_size=8",
             "peft.encoder_dropout=0.2"],
    "prefix": ["peft=prefix-tuning"],
    "projected": ["peft=prefix-tuning", "peft.prefix_projection=true", "peft.encoder_hidden_size=8"],
}  # fmt: skip
SHORT = "peft.num_virtual_tokens=4"
METHODS = {name: [*words, SHORT] for name, words in PROMPTS.items()} | {
    "houlsby": ["peft=bottleneck-houlsby", "peft.bottleneck_size=4"],
    "pfeiffer": ["peft=bottleneck-pfeiffer"],
}
PAIRS = [(method, kind) for method in METHODS for kind in ("bert", "gpt2")]
PAIRS += [(method, kind) for method in ("prompt", "projected") for kind in ("opt", "llama")]


def bytes_of(trainer):
    return {name: p.detach().clone() for name, p in trainer.context.model.named_parameters()}


@pytest.mark.parametrize(("method", "kind"), PAIRS)
def test_what_is_declared_has_a_gradient_changes_and_is_saved_and_nothing_else(make, method, kind):
    trainer, built = make(*METHODS[method], "optimizer.weight_decay=0", architecture=kind)
    declared = built.peft.adapter_names | set(built.anatomy.head.tensors)
    assert set(built.plan.phases[0].trainable) == declared
    caught: dict[str, float] = {}

    def keep(*_):
        for name, parameter in trainer.context.model.named_parameters():
            if parameter.grad is not None and name not in caught:
                caught[name] = float(parameter.grad.abs().max())

    trainer.optimizer.register_step_pre_hook(keep)
    before = bytes_of(trainer)
    trainer.train_step(trainer.next_rows())
    assert caught.keys() == declared and all(size > 0 for size in caught.values())
    for _ in range(2):
        trainer.train_step(trainer.next_rows())
    after = bytes_of(trainer)
    assert {name for name in after if not torch.equal(after[name], before[name])} == declared
    trainer.save()
    assert declared <= set(trainer.context.store.latest().load("model"))


PHASED = METHODS | {name: [f"peft={name}"] for name in ("lora", "dora", "rslora", "lora-plus", "pissa", "adalora", "ia3", "boft",
                                                       "loha", "lokr", "layernorm-tuning")} | {
    "vera": ["peft=vera", "peft.r=16"], "oft": ["peft=oft", "peft.oft_block_size=8"], "miss": ["peft=miss", "peft.r=8"],
}  # fmt: skip


@pytest.mark.parametrize("method", PHASED)
def test_the_head_first_and_then_the_adapters(make, tmp_path, method):
    """A phase changes what it declares, all of it, and nothing else."""
    (tmp_path / "schedule.yaml").write_text("0: {params: [head], max_steps: 3}\n1: {params: [adapters]}\n")
    phases = ("freezing=schedule", f"freezing.file={tmp_path / 'schedule.yaml'}")
    trainer, built = make(*PHASED[method], *phases, "optimizer.weight_decay=0")
    head = set(built.anatomy.head.tensors)
    declared = [head, built.peft.adapter_names | head]
    assert [set(phase.trainable) for phase in built.plan.phases] == declared
    for wanted in declared:
        before = bytes_of(trainer)
        for _ in range(3):
            trainer.train_step(trainer.next_rows())
        after = bytes_of(trainer)
        assert {name for name in after if not torch.equal(after[name], before[name])} == wanted
        if wanted == head:
            trainer.state.phase_ended = "max_steps"
            trainer.next_phase()


@pytest.mark.parametrize("method", ["prompt", "p", "lstm", "prefix", "projected", "houlsby"])
def test_a_resumed_run_is_bit_identical(make, method):
    options = (*METHODS[method], "trainer.micro_batch_size=3", "trainer.max_steps=4")
    whole, _ = make(*options, folder="whole")
    whole.fit()
    first, _ = make(*options, folder="stopped")
    first.context.after_step = [
        lambda model, step, total: setattr(first.stop, "signum", 15) if step == 2 else None
    ]
    with pytest.raises(Interrupted):
        first.fit()
    again, _ = make(*options, folder="stopped")
    again.restore(again.context.store.latest())
    again.fit()
    one, other = bytes_of(whole), bytes_of(again)
    assert all(torch.equal(one[name], other[name]) for name in one)
    states = named_state(whole.optimizer), named_state(again.optimizer)
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("method", ["houlsby", "pfeiffer"])
def test_gradient_checkpointing_trains_the_same_bottlenecks(make, method):
    found = []
    for asked in ("false", "true"):
        trainer, _ = make(*METHODS[method], f"trainer.gradient_checkpointing={asked}", architecture="gpt2")
        for _ in range(2):
            trainer.train_step(trainer.next_rows())
        found.append(bytes_of(trainer))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


@pytest.mark.parametrize("method", PROMPTS)
def test_gradient_checkpointing_is_refused_with_prompts(method):
    config = load([*METHODS[method], "trainer.gradient_checkpointing=true"]).config
    (problem,) = [p for p in problems_of(config) if p.key == "trainer.gradient_checkpointing"]
    assert (
        config.choices["peft"] in problem.message and "trainer.gradient_checkpointing=false" in problem.hint
    )


@pytest.mark.parametrize(("method", "kind"), PAIRS)
def test_the_proofs_on_masks_hold(make, method, kind):
    trainer, _ = make(*METHODS[method], architecture=kind)
    parts = trainer.context
    with torch.no_grad():  # large enough to be seen
        for name, parameter in parts.model.named_parameters():
            if "prompt_embeddings" in name or "adapter" in name:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    found = prove_masks(
        parts.model, parts.task, parts.train, pad_id=parts.forward.pad_id, padding_side="right"
    )
    assert {f.name for f in found} >= {"padding", "pad"} and all(f.level.value == "fact" for f in found), (
        found
    )


@pytest.mark.parametrize("method", ["prompt", "p"])
def test_a_prompted_model_that_reads_padding_is_found(make, method):
    trainer, _ = make(*METHODS[method])
    parts = trainer.context

    def blind(model, args, kwargs):
        return args, {**kwargs, "attention_mask": torch.ones_like(kwargs["attention_mask"])}

    parts.model.register_forward_pre_hook(blind, with_kwargs=True)
    found = prove_masks(
        parts.model, parts.task, parts.train, pad_id=parts.forward.pad_id, padding_side="right"
    )
    assert {f.name for f in found if f.level.value == "error"} == {"padding", "pad"}


TASKS = [(task, method) for task in tiny_tasks.TASKS for method in ("prompt", "p", "projected", "houlsby")]


@pytest.mark.parametrize(("task", "method"), TASKS)
def test_every_task_on_texts_scores_a_row_alone_as_in_a_batch_and_trains(tmp_path, monkeypatch, task, method):
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))
    model = tiny_models.write_model(tmp_path / "model", "bert")
    rows = tiny_tasks.write_rows(tmp_path / "rows", task, train=12, validation=4)
    config = load(["model=local", f"model.path={model}", "model.weights=random", "model.dropout=0", *rows,
                   *METHODS[method]]).config  # fmt: skip
    inputs = load_inputs(config)
    tables, _ = encode_parts(inputs)
    drawn = build_model(inputs)
    named = dict(drawn.model.named_parameters())
    for name, parameter in named.items():
        parameter.requires_grad_(name in drawn.peft.adapter_names)

    def loss(rows, **options):
        batch = inputs.task.collate(tables["train"], np.array(rows), pad_id=inputs.tokenizer.pad_id,
                                    padding_side="right", **options)  # fmt: skip
        return inputs.task.compute_loss(drawn.model, batch, train=True).loss_sum

    whole = loss(range(12), pad_to_multiple=32)
    single = sum(float(loss([row]).detach()) for row in range(12))
    assert float(whole.detach()) == pytest.approx(single, rel=1e-5)
    whole.backward()
    assert all(named[name].grad.abs().max() > 0 for name in drawn.peft.adapter_names)
    prompted = method != "houlsby" and task != "multiple-choice"  # plain peft prompts no multiple choice
    assert (drawn.peft.peft_config is not None) == prompted


@pytest.mark.parametrize("method", ["prompt", "p", "prefix"])
def test_images_are_refused_and_bottlenecks_take_them(tmp_path, method):
    def drawn(*words):
        model = tiny_models.write_model(tmp_path / "vit", "vit")
        rows = tiny_tasks.write_rows(tmp_path / "rows", "image-classification", train=4, validation=4)
        inputs = load_inputs(
            load(["model=local", f"model.path={model}", "model.weights=random", *rows, *words]).config
        )
        return build_model(inputs, meta=True)

    with pytest.raises(ConfigError) as caught:
        drawn(*METHODS[method])
    assert caught.value.problems[0].key == "peft" and "vit" in caught.value.problems[0].message
    assert drawn(*METHODS["pfeiffer"]).peft.adapter_names


def ground_of(tmp_path, *words, max_length="null"):
    model = tiny_models.write_model(tmp_path / "model", "bert")  # 40 positions
    rows = tiny_models.write_rows(tmp_path / "rows")
    base = ["model=local", f"model.path={model}", "model.weights=random", "data=text", f"data.path={rows}",
            f"tokenizer.max_length={max_length}"]  # fmt: skip
    return load_inputs(load([*base, *words]).config)


@pytest.mark.parametrize("choice", ["prompt-tuning", "p-tuning", "prefix-tuning"])
def test_the_prompt_takes_positions_from_the_rows(tmp_path, choice):
    inputs = ground_of(tmp_path, f"peft={choice}", "peft.num_virtual_tokens=30")
    assert inputs.tokenizer.max_length == 10
    assert any("takes 30 of the model's 40 positions" in line for line in inputs.decisions)
    with pytest.raises(ConfigError) as caught:
        ground_of(tmp_path, f"peft={choice}", "peft.num_virtual_tokens=30", max_length=11)
    (problem,) = caught.value.problems
    assert problem.key == "tokenizer.max_length" and "tokenizer.max_length=10" in problem.hint
    with pytest.raises(ConfigError) as caught:
        ground_of(tmp_path, f"peft={choice}", "peft.num_virtual_tokens=38")
    assert caught.value.problems[0].key == "peft.num_virtual_tokens"
    assert ground_of(tmp_path, "peft=lora", max_length=40).tokenizer.max_length == 40


def test_a_row_that_fills_all_positions_beside_the_prompt_is_scored(tmp_path):
    inputs = ground_of(tmp_path, "peft=prompt-tuning", "peft.num_virtual_tokens=30")
    model = build_model(inputs).model
    ids = torch.full((1, 10), 7)
    assert model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.isfinite().all()


@pytest.mark.parametrize(
    "freezing", [["freezing=embeddings"], ["freezing=bottom-layers", "freezing.num_layers=1"]]
)
def test_a_plan_that_trains_no_adapter_is_refused(tmp_path, freezing):
    with pytest.raises(ConfigError) as caught:
        build_model(ground_of(tmp_path, "peft=prompt-tuning", *freezing), meta=True)
    (problem,) = caught.value.problems
    assert problem.key == "freezing" and "peft=prompt-tuning" in problem.message
