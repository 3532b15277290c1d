"""The recorded command can be typed again and holds no secret."""

import time

import pytest

from ftcli.config.command_line import command_line, mask_secret


@pytest.mark.parametrize(
    "word",
    ["tokenizer.max_length=128", "tokenizer=folder", "tokenizer.path=/a/b", "data.columns.label=password", "trainer.max_tokens=3", "trainer.token_budget=64",
     "model.path=/home/me@work/x", "data.id=user/keys", "recipe=token-classification", "optimizer.lr=1e-4", "monkey=1"],
)  # fmt: skip
def test_ordinary_words_can_be_typed_again(word):
    assert mask_secret(word) == word
    assert command_line("train", [word]) == f"ftcli train {word}"


@pytest.mark.parametrize(
    "word",
    ["hub.token=S3CRET", "hub.hf_token=S3CRET", "HF_TOKEN=S3CRET", "a.authToken=S3CRET", "a.password=S3CRET", "db-passwd=S3CRET",
     "wandb.api_key=S3CRET", "aws.secret_access_key=S3CRET", "client_secret=S3CRET", "hub.apikey=S3CRET=S3CRET",
     "data.path=https://user:S3CRET@host/x", "data.path=https://user:S3CRET@S3CRET@host/x", "git+https://S3CRET@host/x",
     "data.path=https://host/x?token=S3CRET&y=1", "data.path=https://host/x?y=1&X-Amz-Signature=S3CRET",
     "data.path=s3://host/x?api_key=S3CRET", "model.id=hf_S3CRETS3CRETS3CRETS3CRET"],
)  # fmt: skip
def test_secrets_are_masked(word):
    masked = mask_secret(word)
    assert "S3CRET" not in masked and "***" in masked
    assert masked[:6] == word[:6], "what is no secret stays"


def test_words_of_any_length_are_masked_in_linear_time():
    """The words may be a mebibyte of somebody else's command.txt."""
    begun = time.monotonic()
    for piece in ("a", "?", "?token", "://", "a://", "&key", "x@", "hf_"):
        mask_secret(piece * (2**20 // len(piece)))
    assert time.monotonic() - begun < 10
