"""One pass for a schedule, the same bytes wherever a run was cut, files that are found again or found damaged."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
import torch

from ftcli.plan.optimizer_state import named_state
from ftcli.trainer.signals import Interrupted

LOWEST = ("freezing=bottom-layers", "freezing.num_layers=1")
TOP_DOWN = """
0: {params: [head], max_epochs: 1, lr: 1.0e-2}
1: {params: [final], max_epochs: 1, lr: 1.0e-3}
2: {params: ['layers[-1:]'], max_epochs: 1, lr: 1.0e-3, best: reset}
3: {params: [rest], max_epochs: 1, lr: 1.0e-4}
"""
EPOCHS = ("trainer.epochs=4",)


def entries(tmp_path) -> list[str]:
    return sorted(p.name for p in (tmp_path / "cache" / "prefix").glob("*"))


@pytest.fixture
def passes(monkeypatch):
    """Depths of every forward pass of a fill."""
    from ftcli.trainer.activation_cache.populate import Filler

    seen: list[list[int]] = []
    own = Filler._catch
    monkeypatch.setattr(Filler, "_catch", lambda self, depths, batch: (
        seen.append(depths), own(self, depths, batch))[1])  # fmt: skip
    return seen


def agree(first, second) -> None:
    """Bit for bit: weights, moments, scores."""
    for a, b in ((dict(t.context.model.named_parameters()) for t in (first, second)),
                 (named_state(t.optimizer) for t in (first, second))):  # fmt: skip
        assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    assert first.state.best_eval == second.state.best_eval
    assert first.state.best_from_prefix == second.state.best_from_prefix


def test_one_pass_serves_the_phases_of_a_schedule(make, passes):
    trainer = make(*EPOCHS, schedule=TOP_DOWN)
    assert [(p.depth, p.shared, p.pays) for p in trainer.context.activation_cache.prefixes] == [
        (3, (2, 1), True), (2, (1,), True), (1, (), True), (0, (), True)]  # fmt: skip
    trainer.fit()
    # 45 and 19 rows in blocks of 32; what the head reads at depth 2 is known only when its phase begins.
    assert passes == [[3, 1]] * 3 + [[2]] * 3
    notes = [n for n in trainer.context.events.notes if n.startswith("frozen prefix")]
    assert notes[0].startswith(
        "frozen prefix: phase 0 reads the activations of the base model, later phases those of 1 block: "
    )
    assert "KiB in memory" in notes[0] and "kept already" in notes[2]
    assert trainer.context.activation_cache.depth == 0 and not trainer.context.activation_cache._entries


def test_a_pass_begins_anew_where_lower_layers_trained():
    from ftcli.trainer.activation_cache.schedule import _passes

    assert _passes([7, 4, 2, 0], 0) == [[0, 1, 2]]
    assert _passes([2, 4, 4, 1], 0) == [[0], [1, 2, 3]]
    assert _passes([0, 6, 3], 0) == [[1, 2]]
    assert _passes([6, 6, 3], 2) == [[2]]


@pytest.mark.parametrize("mode", ["auto", "disk"])
def test_a_run_cut_and_resumed_ends_with_the_same_bytes(make, mode):
    words = (*EPOCHS, f"trainer.prefix_cache={mode}", "trainer.eval_every_n_steps=4")
    whole = make(*words, schedule=TOP_DOWN, folder="whole")
    whole.fit()
    for at in (2, 6, 7, 13, 24):
        trainer = make(*words, schedule=TOP_DOWN, folder="cut")
        checkpoint = trainer.context.store.latest()
        if checkpoint is not None:
            trainer.restore(checkpoint)
        if at == 24:
            trainer.fit()
            break

        def stop(model, step, total, at=at, trainer=trainer):
            trainer.stop.signum = signal.SIGTERM if step == at else None

        trainer.context.after_step = [stop]
        with pytest.raises(Interrupted):
            trainer.fit()
    assert whole.state.step == trainer.state.step == 24
    agree(whole, trainer)
    scores, same_way = trainer.score_best()
    assert same_way and scores.figures == whole.state.best_eval


def test_a_signal_in_a_fill_ends_the_run_with_its_state_saved(make, monkeypatch, tmp_path):
    """The second fill is that of phase 1, behind the steps of phase 0 and their evaluation."""
    from ftcli.trainer.activation_cache.populate import Filler

    words = (*EPOCHS, "trainer.prefix_cache=disk")
    whole = make(*words, schedule=TOP_DOWN, folder="whole")
    whole.fit()
    shutil.rmtree(tmp_path / "cache" / "prefix")
    trainer = make(*words, schedule=TOP_DOWN, folder="cut")
    own, calls = Filler._catch, []

    def catch(self, *args):
        calls.append(args)
        if len(calls) == 5:
            trainer.stop.signum = signal.SIGTERM
        return own(self, *args)

    monkeypatch.setattr(Filler, "_catch", catch)
    with pytest.raises(Interrupted):
        trainer.fit()
    assert len(calls) == 5 and not [e for e in entries(tmp_path) if e.startswith(".")]
    monkeypatch.setattr(Filler, "_catch", own)
    again = make(*words, schedule=TOP_DOWN, folder="cut")
    again.restore(again.context.store.latest())
    assert again.state.step == 6
    again.fit()
    agree(whole, again)


def test_a_kill_in_a_fill_leaves_nothing_that_is_read(make, tmp_path, monkeypatch):
    words = (*LOWEST, "trainer.prefix_cache=disk")
    trainer = make(*words, folder="killed")
    if not (child := os.fork()):
        os.environ["FTCLI_CRASH_AT"] = "prefix:2"
        trainer.fit()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert [e for e in entries(tmp_path) if e.startswith(".stage-")]
    trainer.fit()
    assert len(entries(tmp_path)) == 2 and not [e for e in entries(tmp_path) if e.startswith(".")]
    monkeypatch.setenv("FTCLI_CACHE", str(tmp_path / "other"))
    whole = make(*words, folder="whole")
    whole.fit()
    agree(whole, trainer)


def test_files_are_read_again_and_damage_is_found(make, tmp_path, passes):
    words = (*LOWEST, "trainer.prefix_cache=disk")
    first = make(*words, folder="first")
    first.fit()
    assert len(passes) == 3 and len(entries(tmp_path)) == 2
    passes.clear()
    second = make(*words, folder="second")
    second.fit()
    assert not passes and "kept already" in second.context.events.notes[0]
    agree(first, second)
    for name in entries(tmp_path):
        file = tmp_path / "cache" / "prefix" / name / "states.bin"
        content = bytearray(file.read_bytes())
        content[100] ^= 1
        file.write_bytes(content)
    third = make(*words, folder="third")
    third.fit()
    assert len(passes) == 3 and len(entries(tmp_path)) == 2
    agree(first, third)


def test_files_hold_what_memory_does(make):
    trainers = []
    for mode in ("auto", "disk"):
        trainer = make(*LOWEST, f"trainer.prefix_cache={mode}", folder=mode)
        trainer._enter_activation_cache()
        trainers.append(trainer.context.activation_cache._entries)
    for place, (key, states) in trainers[0].items():
        assert trainers[1][place][0] == key and torch.equal(trainers[1][place][1].flat, states.flat)


def test_the_key_changes_with_whatever_changes_the_bytes(make):
    def keys(*words: str, change=None, depth: str = "1") -> tuple[str, ...]:
        trainer = make("freezing=bottom-layers", f"freezing.num_layers={depth}", *words)
        if change:
            change(trainer.context.model)
        trainer._enter_activation_cache()
        return tuple(key for key, _ in trainer.context.activation_cache._entries.values())

    def nudge(name):
        def change(model):
            with torch.no_grad():
                model.get_parameter(name).view(-1)[0] += 1e-6

        return change

    base = keys()
    assert keys("optimizer.lr=1e-2", "trainer.batch_size=4", "task.label_smoothing=0.1") == base
    assert keys(change=nudge("bert.encoder.layer.1.output.dense.weight")) == base
    others = [
        keys(change=nudge("bert.encoder.layer.0.output.dense.weight")),
        keys(change=nudge("bert.embeddings.word_embeddings.weight")),
        keys("tokenizer.max_length=8", "tokenizer.overlength=truncate"),
        keys("model.attention=sdpa"),
        keys("trainer.precision=bf16"),
        keys(depth="2"),
    ]
    found = [key for pair in (base, *others) for key in pair]
    # Validation rows too long for 8 tokens change the second key, training rows the first.
    assert len(found) == len(set(found)) == 14


def test_files_of_earlier_runs_make_room_for_new_ones(make, tmp_path):
    """The limit holds for the folder: what another seed's weights gave goes, this run's own files stay."""
    words = (*LOWEST, "trainer.prefix_cache=disk")
    make(*words, "seed=1", folder="first").fit()
    before = entries(tmp_path)
    size = sum(file.stat().st_size for file in (tmp_path / "cache" / "prefix").glob("*/*"))
    second = make(*words, "seed=2", f"trainer.prefix_cache_gib={1.2 * size / 2**30:.9f}", folder="second")
    second.fit()
    after = entries(tmp_path)
    assert len(before) == len(after) == 2 and not set(before) & set(after)
    [line] = [note for note in second.context.events.notes if "removed" in note]
    assert "2 entries" in line and "of earlier runs" in line
