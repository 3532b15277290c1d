"""Each method on each architecture: what is declared trains, is saved and read back; nothing else changes."""

from __future__ import annotations

import functools

import numpy as np
import peft
import pytest
import torch
from tiny_runs import build_run, config_of, words_for

from ftcli.diagnostics.overfit import overfit
from ftcli.plan.optimizer_state import named_state
from ftcli.run.meta import stub_inputs
from ftcli.run.model import build_model
from ftcli.trainer.signals import Interrupted
from ftcli.trainer.state_dict import load_tensors

METHODS: dict[str, dict] = {
    "lora": {},
    "dora": {},
    "rslora": {},
    "pissa": {},
    "lora-plus": {},
    "adalora": {},
    "ia3": {},
    "vera": {"r": 16},
    "oft": {"oft_block_size": 8},
    "boft": {},
    "loha": {},
    "lokr": {},
    "miss": {"r": 8},
    "layernorm-tuning": {},
}
ARCHITECTURES = ["bert", "distilbert", "gpt2", "llama", "vit"]
LINEAR_ONLY = {"oft", "boft", "loha", "lokr", "miss"}
"""Methods without Conv1D: not for GPT-2."""
VARIANTS = ("rslora", "pissa", "lora-plus")
"""LoRA with other numbers: two architectures are enough."""
PAIRS = [
    (method, architecture)
    for method in METHODS
    for architecture in (("bert", "gpt2") if method in VARIANTS else ARCHITECTURES)
    if not (architecture == "gpt2" and method in LINEAR_ONLY)
]


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """Returns a function: architecture -> words of a run without weight decay."""
    folder = tmp_path_factory.mktemp("runs")
    return functools.cache(
        lambda architecture: [*words_for(folder, architecture), "optimizer.weight_decay=0"]
    )


@pytest.fixture
def begin(tmp_path, monkeypatch, words):
    """Returns a function: method, architecture -> (trainer, built)."""
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))

    def one(method: str, architecture: str, **trainer):
        config = config_of(words(architecture), method, trainer=trainer, **METHODS[method])
        return build_run(config, tmp_path / "saved")

    return one


def values(model) -> dict[str, torch.Tensor]:
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def logits(trainer, rows) -> torch.Tensor:
    context = trainer.context
    batch = context.forward.collate(context.train, rows)
    with torch.inference_mode():
        return context.task.compute_loss(context.model.eval(), batch, train=False).logits


@pytest.mark.parametrize(("method", "architecture"), PAIRS)
def test_what_is_declared_trains_and_nothing_else(begin, method, architecture):
    trainer, built = begin(method, architecture)
    model = trainer.context.model
    declared = set(trainer.context.plan.phases[0].trainable)
    assert declared == built.peft.adapter_names | set(built.anatomy.head.tensors)
    graded: set[str] = set()
    hooks = [
        p.register_post_accumulate_grad_hook(lambda _, name=name: graded.add(name))
        for name, p in model.named_parameters()
        if p.requires_grad
    ]
    before = values(model)
    trainer.train_step(trainer.next_rows())
    assert graded == declared
    for hook in hooks:
        hook.remove()
    for _ in range(2):
        trainer.train_step(trainer.next_rows())
    after = values(model)
    own_state = {
        name for name, _ in model.named_buffers() if "sensitivity_" in name or "uncertainty_" in name
    }
    assert {name for name in after if not torch.equal(after[name], before[name])} == declared | own_state
    trainer.save()
    saved = trainer.context.store.find("last").load("model")
    assert declared | own_state <= saved.keys() and all(
        torch.equal(saved[name], after[name]) for name in saved
    )

    rows = np.arange(6)
    together = logits(trainer, rows)
    alone = torch.cat([logits(trainer, rows[row : row + 1]) for row in rows])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", ["bert", "llama"])
@pytest.mark.parametrize("method", [m for m in METHODS if m not in VARIANTS])
def test_gradient_checkpointing_trains_the_same_tensors_to_the_same_values(begin, method, architecture):
    trained = []
    for saving in (False, True):
        trainer, _ = begin(method, architecture, gradient_checkpointing=saving)
        modules = trainer.context.model.modules()
        assert any(getattr(module, "gradient_checkpointing", False) for module in modules) == saving
        for _ in range(3):
            trainer.train_step(trainer.next_rows())
        trained.append(dict(trainer.context.model.named_parameters()))
    plain, saved = trained
    assert {n for n, p in plain.items() if p.requires_grad} == {
        n for n, p in saved.items() if p.requires_grad
    }
    for name in plain:
        torch.testing.assert_close(saved[name], plain[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("adalora", "rslora")])
def test_a_resumed_run_is_bit_identical(tmp_path, monkeypatch, words, method):
    """Stopped after 2 of 5 steps, inside the first epoch of 3; dropout on. AdaLoRA has its own test."""
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))
    steps = {"max_steps": 5, "save_every_n_steps": 1}

    def start(folder: str):
        config = config_of(words("bert"), method, trainer=steps, **METHODS[method])
        return build_run(config, tmp_path / folder)[0]

    whole, first = start("whole"), start("stopped")
    whole.fit()
    first.context.after_step = [
        lambda model, step, total: setattr(first.stop, "signum", 15) if step == 2 else None
    ]
    with pytest.raises(Interrupted):
        first.fit()
    again = start("stopped")
    again.restore(again.context.store.latest())
    assert again.state.step == 2
    again.fit()
    for state in (lambda t: t.context.model.state_dict(), lambda t: named_state(t.optimizer)):
        ours, theirs = state(again), state(whole)
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("method", METHODS)
def test_the_method_fits_one_batch(tmp_path, monkeypatch, words, method):
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))
    config = config_of(words("bert"), method, trainer={"max_steps": 500, "epochs": 500}, **METHODS[method])
    trainer, built = build_run(config, tmp_path / "saved")
    trainer.objects.lr_lambda = lambda step: 1.0
    head = frozenset(built.anatomy.head.tensors)
    verdict = overfit(trainer, trainer.next_rows(), head, screen=Silent())
    assert verdict.passed and verdict.accuracy == 1.0, verdict.diagnoses


class Silent:
    def advance(self, step: int, total: int) -> None: ...


@pytest.mark.parametrize("method", METHODS)
def test_on_paper_the_same_tensors_train(words, method):
    """Drawn on the meta device, as ftcli explain and --dry-run do: no weights, no factorisation."""
    inputs = stub_inputs(config_of(words("bert"), method, **METHODS[method]))
    drawn = build_model(inputs, meta=True)
    assert all(drawn.model.get_parameter(name).is_meta for name in drawn.plan.phases[0].trainable)
    real = build_model(inputs)
    assert drawn.plan == real.plan and drawn.peft.decisions == real.peft.decisions


@pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore:Unsupported layer type", "ignore:Failed to load the CUDA"
)
@pytest.mark.filterwarnings("ignore:Setting boft_n_butterfly_factor")
@pytest.mark.parametrize("method", METHODS)
def test_plain_peft_puts_the_same_tensors_in_the_same_places(words, method):
    """`peft_config` is enough for get_peft_model to rebuild what was injected, names and shapes."""
    drawn = build_model(stub_inputs(config_of(words("bert"), method, **METHODS[method])))
    bare = build_model(stub_inputs(config_of(words("bert"), "none")))
    theirs = peft.get_peft_model(bare.model, drawn.peft.peft_config).state_dict()
    shapes = {name.removeprefix("base_model.model."): tensor.shape for name, tensor in theirs.items()}
    own = dict(drawn.model.named_parameters())
    assert drawn.peft.adapter_names <= shapes.keys()
    assert all(shapes[name] == own[name].shape for name in drawn.peft.adapter_names)


def test_pissa_comes_back_from_its_checkpoint_alone(tmp_path, monkeypatch):
    """The base weights it changed are saved: another draw of the randomised factors does not matter."""
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "cache"))
    folder = words_for(tmp_path, "bert", weights=True)

    def start(seed: int, method: str = "pissa", **fields):
        config = config_of([*folder, f"seed={seed}"], method, **fields)
        return build_run(config, tmp_path / f"{method}-{seed}")

    rows = np.arange(6)
    plain, _ = start(1, "none")
    trainer, built = start(1, init_lora_weights="pissa_niter_4")
    # The residual and the adapters add up to the pretrained weight.
    torch.testing.assert_close(logits(trainer, rows), logits(plain, rows), rtol=0, atol=1e-4)
    trainer.train_step.set_train_mode()
    for _ in range(2):
        trainer.train_step(trainer.next_rows())
    trainer.save()
    saved = trainer.context.store.find("last").load("model")
    bases = {name for name in saved if name.endswith("query.base_layer.weight")}
    assert len(bases) == 2 and built.peft.changed <= saved.keys()
    assert not any("word_embeddings" in name for name in saved)

    other, _ = start(2, init_lora_weights="pissa_niter_4")
    own = dict(other.context.model.named_parameters())
    assert any(not torch.equal(own[name], saved[name]) for name in bases)
    load_tensors(other.context.model, saved)
    assert torch.equal(logits(other, rows), logits(trainer, rows))
