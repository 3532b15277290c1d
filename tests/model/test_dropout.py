"""Dropout from random words: the share, the scale and the independence of torch's own."""

import math

import pytest
import torch
from torch import nn

from ftcli.model.dropout import BitDropout, mask, use_bits


@pytest.mark.parametrize("p", [1e-5, 0.1, 0.5, 0.9])
def test_the_share_of_zeros_and_the_mean_are_those_of_p(p):
    torch.manual_seed(1)
    number = 4_000_000
    drawn = mask(torch.empty(number), p)
    sigma = math.sqrt(p * (1 - p) / number)
    assert abs(float((drawn == 0).double().mean()) - p) <= 5 * sigma + 2**-17
    assert float(drawn.double().mean()) == pytest.approx(1.0, abs=5 * sigma / (1 - p))
    assert drawn.unique().numel() == 2


def test_neighbours_fall_independently_at_every_distance_up_to_eight():
    """Four elements share a draw of 64 bits: none of them may tell of another."""
    torch.manual_seed(2)
    fallen = (mask(torch.empty(4_000_000), 0.3) == 0).double() - 0.3
    for distance in range(1, 9):
        covariance = float((fallen[distance:] * fallen[:-distance]).mean())
        assert abs(covariance) <= 5 * 0.21 / math.sqrt(4_000_000)
    for place in range(4):
        assert abs(float(fallen[place::4].mean())) <= 5 * math.sqrt(0.21 / 1_000_000)


@pytest.mark.parametrize("shape", [(1,), (3,), (5, 7), (2, 3, 4)])
def test_a_seed_fixes_the_mask_of_any_shape(shape):
    masks = []
    for _ in range(2):
        torch.manual_seed(3)
        masks.append(mask(torch.empty(shape), 0.5))
    assert masks[0].shape == shape and torch.equal(*masks)


def test_backward_drops_what_forward_dropped():
    layer, x = BitDropout(0.4), torch.ones(1000, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach()) and 0 < int((y == 0).sum()) < 1000


def test_nothing_falls_in_evaluation_or_at_zero_and_all_at_one():
    x = torch.randn(8)
    assert torch.equal(BitDropout(0.4).eval()(x), x) and torch.equal(BitDropout(0.0)(x), x)
    assert not BitDropout(1.0)(x).any()


def test_bf16_stays_bf16():
    assert BitDropout(0.1)(torch.ones(8, dtype=torch.bfloat16)).dtype is torch.bfloat16


def test_plain_dropouts_are_replaced_and_others_are_not():
    model = nn.Sequential(nn.Dropout(0.1), nn.Dropout1d(0.1), nn.Sequential(nn.Dropout(0.2)))
    assert use_bits(model) == 2 and use_bits(model) == 0
    assert [type(m) for m in model] == [BitDropout, nn.Dropout1d, nn.Sequential] and model[0].p == 0.1
