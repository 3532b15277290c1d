"""Micro-batches that fit: found before step one without a trace, made smaller when memory runs out, recorded."""

import json
import math

import numpy as np
import pytest
import torch
from run_tensors import same, weights

from ftcli.errors import NoRoomError, RunDirError, is_out_of_memory
from ftcli.plan.optimizer_state import named_state
from ftcli.trainer.micro_batch_search import find_micro_batch_size, smallest_split
from ftcli.trainer.micro_batching import AUTO, OUT_OF_MEMORY, MicroBatching, Split, recorded_micro_batching
from ftcli.trainer.signals import Interrupted

NO_CPU_MEMORY = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
)


def moments(trainer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in named_state(trainer.optimizer).items()}


def starve(trainer, rows: int, *, steps=range(10**6), error: Exception | None = None) -> list[int]:
    """Lets the forward of more than `rows` rows fail in some steps; returns the sizes it was called with."""
    sizes: list[int] = []

    def refuse(module, args, kwargs):
        sizes.append(len(kwargs["input_ids"]))
        if module.training and sizes[-1] > rows and trainer.state.step in steps:
            raise error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    trainer.context.model.register_forward_pre_hook(refuse, with_kwargs=True)
    return sizes


def recorded(trainer) -> list[tuple]:
    return [(split.step, split.parts, split.why) for split in trainer.context.micro_batching.splits]


def train_lines(*trainers) -> list[tuple]:
    events = [e for one in trainers for e in one.context.events.logged if e["event"] == "train"]
    return [(e["step"], e["loss"], e["lr"], e["grad_norm"]) for e in events]


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError(NO_CPU_MEMORY)]
)
def test_a_step_without_memory_is_redone_in_halves(make, error):
    """The weights are those of a run that was split from the start: dropout is drawn piece by piece."""
    starved, _ = make("trainer.epochs=1")
    sizes = starve(starved, 4, error=error)
    starved.fit()
    split, _ = make("trainer.epochs=1", "trainer.micro_batch_size=4", folder="split")
    split.fit()
    assert same(weights(starved), weights(split)) and same(moments(starved), moments(split))
    assert train_lines(starved) == train_lines(split)
    assert recorded(starved) == [(0, 2, OUT_OF_MEMORY)] and sizes[:3] == [8, 4, 4]
    logged = [e for e in starved.context.events.logged if e["event"] == "split"]
    assert logged == [{"event": "split", "step": 0, "parts": 2, "why": OUT_OF_MEMORY, "phase": 0}]
    assert [n for n in starved.context.events.notes if "step 1: out of memory" in n and "4 rows a pass" in n]


def test_a_failed_try_leaves_nothing_behind(make):
    trainer, _ = make()
    trainer.train_step(np.arange(8))
    before, state, counters = weights(trainer), moments(trainer), trainer.state.to_json()
    starve(trainer, 0)
    with pytest.raises(
        NoRoomError, match=r"step 2: a single row of \d+ tokens does not fit in memory on (cpu|cuda)"
    ):
        trainer.train_step(np.arange(8))
    assert same(before, weights(trainer)) and same(state, moments(trainer))
    now = trainer.state.to_json()
    assert now.pop("events") == counters.pop("events") + 3 and now == counters
    assert all(p.grad is None for p in trainer.context.model.parameters())
    assert recorded(trainer) == [(1, n, OUT_OF_MEMORY) for n in (2, 4, 8)]


def test_a_failed_try_counts_for_no_running_statistics(make):
    norms = []
    for words, most in ((("trainer.micro_batch_size=4",), 8), ((), 4)):
        built, _ = make("trainer.epochs=1", *words, folder=f"at-most-{most}")
        model = built.context.model
        norm = torch.nn.BatchNorm1d(model.config.hidden_size, affine=False).to(model.device)
        model.bert.pooler.activation = torch.nn.Sequential(model.bert.pooler.activation, norm)

        def refuse(module, args, output, most=most):
            if len(args[0]) > most:
                raise torch.OutOfMemoryError("CUDA out of memory.")

        norm.register_forward_hook(refuse)
        trainer = type(built)(built.config, built.context, built.stop)
        norm.train()  # a module without weights of its own is kept in eval mode
        trainer.train_step(np.arange(8))
        norms.append(norm)
    assert int(norms[0].num_batches_tracked) == int(norms[1].num_batches_tracked) == 2
    assert torch.equal(norms[0].running_mean, norms[1].running_mean)


def test_memory_that_runs_out_in_a_later_piece_drops_the_gradients_of_the_earlier(make):
    """The second piece of the first try fails, after the first one's gradients are there."""
    starved, _ = make("trainer.micro_batch_size=4", "model.dropout=0")
    calls, compute = [], starved.context.task.compute_loss

    def second_fails(model, batch, *, train):
        calls.append(len(batch["labels"]))
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return compute(model, batch, train=train)

    starved.context.task.compute_loss = second_fails
    starved.train_step(np.arange(8))
    sound, _ = make("trainer.micro_batch_size=2", "model.dropout=0", folder="sound")
    sound.train_step(np.arange(8))
    assert calls == [4, 4, 2, 2, 2, 2] and same(weights(starved), weights(sound))


def test_other_errors_pass(make):
    trainer, _ = make()
    starve(trainer, 0, error=RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1"):
        trainer.train_step(np.arange(8))
    assert recorded(trainer) == [] and not is_out_of_memory(ValueError("out of memory"))


def test_what_smaller_pieces_do_not_help_is_said(make):
    def exhausted(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    trainer, _ = make()
    trainer.optimizer.step = exhausted
    with pytest.raises(NoRoomError, match="the optimizer's step: does not fit"):
        trainer.train_step(np.arange(8))
    assert trainer.state.step == 0 and recorded(trainer) == []
    trainer, _ = make(folder="second")
    trainer.context.after_step = [exhausted]
    with pytest.raises(NoRoomError, match="step 1: memory ran out after its update was made"):
        trainer.train_step(np.arange(8))
    trainer, _ = make(folder="third")
    trainer.context.evaluator.outputs = exhausted
    with pytest.raises(NoRoomError, match="an evaluation: does not fit"):
        trainer.fit()


@pytest.mark.parametrize("budget", [(), ("trainer.token_budget=64",)], ids=["rows", "tokens"])
@pytest.mark.parametrize("again", [True, False], ids=["memory-is-short-again", "memory-is-back"])
def test_a_resume_splits_the_steps_it_redoes_as_they_were(make, tmp_path, budget, again):
    """Memory runs out in step 5, after the checkpoint of step 4; the run is killed in step 6, dropout on."""
    options = ("trainer.save_every_n_steps=4", "trainer.epochs=2", *budget)
    whole, _ = make(*options, folder="whole")
    starve(whole, 3, steps=range(4, 6))
    whole.fit()

    class Killed(BaseException):
        pass

    def kill(model, step, total):
        if step == 6:
            raise Killed

    record = tmp_path / "pieces.json"
    first, _ = make(*options, folder="stopped")
    first.context.micro_batching = recorded_micro_batching(first.config, record)
    starve(first, 3, steps=range(4, 6))
    first.context.after_step = [kill]
    with pytest.raises(Killed):
        first.fit()
    saved = json.loads(record.read_text())["splits"]
    assert (
        saved == [{"step": s, "parts": n, "why": w} for s, n, w in recorded(whole)] and saved[0]["step"] == 4
    )
    second, _ = make(*options, folder="stopped")
    second.context.micro_batching = recorded_micro_batching(second.config, record)
    if again:
        starve(second, 3, steps=range(4, 6))
    second.restore(second.context.store.latest())
    assert second.state.step == 4
    second.fit()
    assert same(weights(whole), weights(second)) and same(moments(whole), moments(second))
    assert whole.state.best_eval == second.state.best_eval and whole.state.events == second.state.events
    assert train_lines(whole)[4:] == train_lines(second) and recorded(whole) == recorded(second)
    kinds = [e["event"] for e in whole.context.events.logged]
    assert kinds[-len(second.context.events.logged) :] == [e["event"] for e in second.context.events.logged]
    assert any("ran out here in an earlier session" in note for note in second.context.events.notes)


def test_memory_that_runs_out_earlier_than_recorded_is_said(make):
    trainer, _ = make()
    trainer.context.micro_batching.splits = [Split(3, 2, OUT_OF_MEMORY)]
    starve(trainer, 4)
    trainer.train_step(np.arange(8))
    assert "the bytes are not its own" in trainer.context.events.notes[-1]


def test_the_search_takes_the_first_power_of_two_that_fits():
    tried: list[int] = []
    assert smallest_split("cuda", 32, lambda parts: tried.append(parts) or 32 / parts <= 9) == 4
    assert tried == [1, 2, 4]
    assert (
        smallest_split("cuda", 5, lambda parts: parts >= 8) == 8
        and smallest_split("cuda", 5, lambda _: False) is None
    )
    assert smallest_split("cpu", 32, lambda parts: pytest.fail("tried")) == 1


@pytest.mark.parametrize("words", [("trainer.batch_size=8",), ("trainer.token_budget=64",), ("trainer.precision=fp16",),
                                   ("freezing=gradual", "freezing.num_phases=2")])  # fmt: skip
def test_finding_the_pieces_changes_nothing_else(make, words):
    """The decision of a CUDA device, with the model's forward failing as it does there."""
    options = ("trainer.micro_batch_size=auto", "trainer.epochs=1", *words)
    trainer, _ = make(*options)
    sizes = starve(trainer, 3)
    torch.manual_seed(5)
    before, state, generator = weights(trainer), trainer.state.to_json(), torch.get_rng_state()
    buffers = {name: buffer.clone() for name, buffer in trainer.context.model.named_buffers()}
    scale = trainer.train_step.scaler.state_dict()
    find_micro_batch_size(trainer, "cuda")
    assert same(before, weights(trainer)) and same(buffers, dict(trainer.context.model.named_buffers()))
    assert trainer.state.to_json() == state and torch.equal(torch.get_rng_state(), generator)
    assert not trainer.optimizer.state and trainer.train_step.scaler.state_dict() == scale
    assert all(p.grad is None for p in trainer.context.model.parameters())
    found = trainer.context.micro_batching.splits[0]
    largest = max(len(rows) for rows in trainer.epochs.hardest())
    assert found == Split(0, found.parts, AUTO) and found.parts & (found.parts - 1) == 0
    assert math.ceil(largest / found.parts) <= 3 < math.ceil(2 * largest / found.parts)
    assert f"batches are split in {found.parts} to fit" in trainer.context.events.notes[-1]
    tries = len(sizes)
    find_micro_batch_size(trainer, "cuda")
    assert len(sizes) == tries


def test_a_run_of_found_pieces_is_that_of_stated_ones(make):
    auto, _ = make("trainer.micro_batch_size=auto", "trainer.epochs=1")
    starve(auto, 4)
    find_micro_batch_size(auto, "cuda")
    auto.fit()
    stated, _ = make("trainer.micro_batch_size=4", "trainer.epochs=1", folder="stated")
    stated.fit()
    assert same(weights(auto), weights(stated)) and recorded(auto) == [(0, 2, AUTO)]


@pytest.mark.cpu("only a GPU tries sizes")
def test_the_cpu_takes_the_whole_batch_and_no_row_at_all_is_an_error(make):
    trainer, _ = make("trainer.micro_batch_size=auto", "trainer.max_steps=1")
    sizes = starve(trainer, 8)
    find_micro_batch_size(trainer)
    trainer.fit()
    assert recorded(trainer) == [(0, 1, AUTO)] and sizes[0] == 8
    assert any("the whole batch on cpu" in note for note in trainer.context.events.notes)
    trainer, _ = make("trainer.micro_batch_size=auto", folder="second")
    starve(trainer, 0)
    with pytest.raises(NoRoomError, match="a single row") as refused:
        find_micro_batch_size(trainer, "cuda")
    hint = refused.value.problems[0].hint
    assert "trainer.gradient_checkpointing=true" in hint and "trainer.precision=bf16" in hint


def test_a_record_is_reused_and_a_damaged_one_refused(make, tmp_path):
    trainer, _ = make("trainer.micro_batch_size=auto")
    record = tmp_path / "pieces.json"
    pieces = recorded_micro_batching(trainer.config, record)
    assert not pieces.decided and not record.exists()
    pieces.add(Split(0, 4, AUTO))
    read = recorded_micro_batching(trainer.config, record)
    assert read.decided and read.splits == [Split(0, 4, AUTO)] and read.parts(7) == 4
    record.write_text('{"splits": [{"step": 0}]}')
    with pytest.raises(RunDirError, match=r"splits\[0\]\.parts is missing"):
        recorded_micro_batching(trainer.config, record)


def test_sizes_of_pieces():
    stated, whole = MicroBatching(rows=8), MicroBatching(rows=None)
    assert [len(piece) for piece in stated.cut(np.arange(20), 0)] == [8, 8, 4]
    assert stated.finer(5, 3) == Split(3, 2, OUT_OF_MEMORY)  # 5 rows in one piece of 8, then in 4 and 1
    assert [len(piece) for piece in stated.cut(np.arange(5), 3)] == [4, 1]
    assert [len(piece) for piece in stated.cut(np.arange(5), 2)] == [5]
    assert MicroBatching(rows=100).finer(5, 0) == Split(0, 32, OUT_OF_MEMORY)
    assert [whole.size(5, parts) for parts in (1, 2, 4, 8)] == [5, 3, 2, 1] and whole.finer(1, 0) is None


def test_only_a_lack_of_memory_is_caught():
    def lacking():
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")

    with pytest.raises(RuntimeError) as caught:
        lacking()
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(Interrupted(2)) and not is_out_of_memory(RuntimeError("mat1 and mat2"))
