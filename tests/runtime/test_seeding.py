"""Seeds of a step: the same for the same (seed, step, micro-batch), another for every other."""

import torch

from ftcli.runtime import seeding


def draw(*numbers: int) -> torch.Tensor:
    seeding.seed_step(*numbers)
    return torch.rand(8)


def test_a_step_draws_the_same_numbers_again():
    first = draw(3, 100, 1)
    torch.rand(1000)
    assert torch.equal(draw(3, 100, 1), first)


def test_every_step_seed_and_part_draws_its_own():
    keys = {
        (seed, step, micro) for seed in (0, 1, 2, 2**40) for step in (0, 1, 2, 3, 1000) for micro in (0, 1, 2)
    }
    assert len({tuple(draw(*key).tolist()) for key in keys}) == len(keys)
    mixed = {seeding.mix(seed, step, 0) for seed in range(100) for step in range(100)}
    assert len(mixed) == 10_000 and all(0 <= value < 2**63 for value in mixed)


def test_mixing_is_splitmix64():
    """First outputs of the reference implementation (prng.di.unimi.it/splitmix64.c) for state 0, halved."""
    assert seeding.mix(0) == 0xE220A8397B1DCDAF >> 1


def test_seeding_is_the_stream_of_torch_manual_seed():
    first = draw(3, 7)
    torch.manual_seed(seeding.mix(3, 7, 0))
    assert torch.equal(torch.rand(8), first)


def test_the_slow_way_through_the_python_stack_is_not_taken(monkeypatch):
    """torch.manual_seed walks the stack, 0.3 ms a call; the generators are seeded one by one instead."""

    def refuse(seed):
        raise AssertionError("torch.manual_seed was called")

    monkeypatch.setattr(torch, "manual_seed", refuse)
    assert torch.equal(draw(1, 2, 3), draw(1, 2, 3))
