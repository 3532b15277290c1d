"""AdaLoRA: the allocator is peft's, its state is saved, and a resume at any step goes on bit for bit."""

from __future__ import annotations

import copy

import peft
import pytest
import torch
import transformers
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.adalora.layer import RankAllocator
from tiny_runs import build_run, config_of, words_for

from ftcli.config.registry import lookup
from ftcli.errors import ConfigError
from ftcli.plan.optimizer_state import named_state
from ftcli.trainer.signals import Interrupted

SMALL = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 40,
    "max_position_embeddings": 20,
}  # fmt: skip
NUMBERS = {"init_r": 4, "target_r": 2, "deltaT": 2}


def bert():
    torch.manual_seed(0)
    return transformers.BertForSequenceClassification(transformers.BertConfig(**SMALL))


def adalora(model, **fields):
    entry = lookup("peft", "adalora")
    return entry.build(entry.config_class(**fields), model, seed=3)


def test_the_allocator_does_what_pefts_does():
    """Same weights and gradients through both, over warmup, every cut of the budget and the final steps."""
    model = bert()
    result = adalora(model, tinit="2st", tfinal="4st", **NUMBERS)
    twin = copy.deepcopy(model)
    for one in (model, twin):
        torch.manual_seed(1)
        for name, parameter in one.named_parameters():
            if name in result.adapter_names:
                torch.nn.init.normal_(parameter)
    config = peft.AdaLoraConfig(tinit=2, tfinal=4, total_step=14, **NUMBERS)
    theirs = RankAllocator(twin, config, "default")
    kept = []
    for step in range(1, 15):
        torch.manual_seed(step)
        for name, parameter in model.named_parameters():
            if name in result.adapter_names:
                parameter.grad = torch.randn_like(parameter)
                twin.get_parameter(name).grad = parameter.grad.clone()
        result.after_step[0](model, step, 14)
        # What AdaLoraModel.update_and_allocate does with its allocator.
        if step < 10:
            _, pattern = theirs.update_and_allocate(twin, step)
            config.rank_pattern = pattern or config.rank_pattern
        elif step == 10:
            _, config.rank_pattern = theirs.update_and_allocate(twin, step, force_mask=True)
        else:
            theirs.mask_using_rank_pattern(twin, config.rank_pattern)
        for name in result.adapter_names:
            assert torch.equal(model.get_parameter(name), twin.get_parameter(name)), (step, name)
        kept.append(sum(int(mask.sum()) for n, mask in model.named_buffers() if n.endswith("rank_mask")))
    # 4 modules: the budget falls from 16 to 8 at even steps after 2; at 10 it is reached.
    assert kept[:3] == [16, 16, 16] and kept[3] < 16 and kept[9:] == [8] * 5


def test_the_penalty_is_pefts():
    model = bert()
    result = adalora(model, orth_reg_weight=0.3)
    described = result.peft_config
    other = bert()
    tuner = PEFT_TYPE_TO_TUNER_MAPPING[described.peft_type](other, described, adapter_name="default")
    other.load_state_dict(model.state_dict(), strict=False)
    ids = torch.arange(3, 13).reshape(2, 5)
    labels = torch.tensor([0, 1])
    tuner.eval()
    loss = tuner(input_ids=ids, labels=labels).loss
    plain = model.eval()(input_ids=ids, labels=labels).loss
    torch.testing.assert_close(result.regularisers[0](model), loss - plain, rtol=1e-5, atol=1e-6)


def test_adapters_that_do_not_train_are_left_alone():
    model = bert()
    result = adalora(model, tinit="1st", tfinal="1st", **NUMBERS)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in result.adapter_names and ".layer.1." in name)
        parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
        if ".lora_E." in name:
            torch.nn.init.ones_(parameter)
    result.after_step[0](model, 1, 9)
    below, above = (model.bert.encoder.layer[i].attention.self.query for i in (0, 1))
    assert not below.sensitivity_A.any() and above.sensitivity_A.any()


def test_adapters_that_have_not_trained_yet_keep_their_rank():
    """Of two blocks the upper trains from step 1, the lower after the budget's last step: both go on training."""
    model = bert()
    result = adalora(model, tinit="1st", tfinal="4st", **NUMBERS)
    below, above = (model.bert.encoder.layer[i].attention.self for i in (0, 1))
    for step in range(1, 13):
        torch.manual_seed(step)
        for name, parameter in model.named_parameters():
            trains = name in result.adapter_names and (".layer.1." in name or step > 8)
            parameter.grad = torch.randn_like(parameter) if trains else None
            if trains:
                parameter.data -= 0.1 * parameter.grad
        result.after_step[0](model, step, 12)
        if step == 8:
            assert all(
                block.rank_mask.all() and not block.lora_E["default"].any()
                for block in (below.query, below.value)
            )
    # Two modules above share 2 x target_r; those below, which nothing measured, keep init_r.
    assert sum(int(block.rank_mask.sum()) for block in (above.query, above.value)) == 4
    for block in (below.query, below.value):
        assert block.rank_mask.all() and block.lora_E["default"].all()


@pytest.fixture(scope="module")
def begin(tmp_path_factory):
    """Returns a function: folder -> trainer of 12 steps: warmup to 2, cuts at even steps, final ranks from 9."""
    root = tmp_path_factory.mktemp("runs")
    words = [*words_for(root, "bert"), "trainer.epochs=4", "trainer.eval_every_n_steps=6"]
    fields = {**NUMBERS, "tinit": "2st", "tfinal": "3st", "lora_dropout": 0.1}
    return lambda folder: build_run(config_of(words, "adalora", **fields), root / folder)[0]


@pytest.fixture(scope="module")
def whole(begin):
    """A run that nothing stops."""
    trainer = begin("whole")
    trainer.fit()
    return trainer


@pytest.mark.parametrize("stop_at", [1, 4, 5, 8, 10])
def test_a_resumed_run_is_bit_identical(begin, whole, stop_at):
    first = begin(f"stopped-{stop_at}")
    first.context.after_step = (
        *first.context.after_step,
        lambda model, step, total: setattr(first.stop, "signum", 15) if step == stop_at else None,
    )
    with pytest.raises(Interrupted):
        first.fit()
    again = begin(f"stopped-{stop_at}")
    again.restore(again.context.store.latest())
    assert again.state.step == stop_at
    again.fit()
    for tensors in (lambda t: t.context.model.state_dict(), lambda t: named_state(t.optimizer)):
        ours, theirs = tensors(again), tensors(whole)
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    masks = [mask for name, mask in again.context.model.named_buffers() if name.endswith("rank_mask")]
    assert sum(float(mask.sum()) for mask in masks) == 2 * len(masks)


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"target_r": 13}, "peft.target_r"),
        ({"init_r": 0, "target_r": 0}, "peft.init_r"),
        ({"deltaT": 0}, "peft.deltaT"),
        ({"beta1": 1.0}, "peft.beta1"),
        ({"orth_reg_weight": -1.0}, "peft.orth_reg_weight"),
        ({"tinit": "soon"}, "peft.tinit"),
        ({"tinit": "1ep"}, "peft.tinit"),
        ({"tinit": "0.6", "tfinal": "0.4"}, "peft.tfinal"),
    ],
)
def test_values_out_of_range_are_problems(fields, key):
    config_class = lookup("peft", "adalora").config_class
    problems = config_class(**fields).problems()
    assert problems[0].key == key and problems[0].hint.startswith("peft.")
    assert config_class().problems() == []


def test_a_rank_beyond_both_sides_of_a_target_is_refused():
    with pytest.raises(ConfigError, match=r"17 is more than either side of bert\S+query, 16 x 16"):
        adalora(bert(), init_r=17)
    adalora(bert(), init_r=16)


def test_a_schedule_longer_than_the_run_is_refused_at_step_one():
    result = adalora(bert(), tinit="8st", tfinal="4st")
    with pytest.raises(ConfigError, match="the run has 12"):
        result.after_step[0](result.model, 1, 12)
