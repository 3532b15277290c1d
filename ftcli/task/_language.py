"""What the tasks of language models share: batches of targets, the loss at them, and what is kept of each row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ftcli.batching.aligned import SOURCE
from ftcli.batching.collate import pad
from ftcli.batching.output import LOG_P, TOP, Scored, StepOutput
from ftcli.batching.protocols import Batch
from ftcli.batching.rows import DatasetSplits, Rows
from ftcli.batching.token_table import TokenTable
from ftcli.task._branching import floor_of
from ftcli.task.base import Task, TokenMark

MODEL_INPUTS = ("input_ids", "attention_mask")
"""What of a batch the model reads; the rest is the loss's."""
NUM_BYTES = "num_bytes"
"""Extra of a table, (num_rows,) int64: bytes of text that a row's targets stand for."""
FITTED = 0.05
"""Distance from the lowest possible loss, in nats a token, that counts as a fit: the right tokens have a probability of 0.95."""


class Language(Task):
    """A task whose outputs are the vocabulary's: some tokens of a row, marked in the table, are predicted from those before them.

    Of a row is kept, fp64 (4,): the sum of log p over its targets, how many of them are the most probable token, how many there are,
    and the bytes of text that they stand for.
    """

    kinds = ("likelihood",)
    error_name = "nats a token"
    pipeline_tag = "text-generation"
    combinable = False

    def assumed_labels(self) -> list[str]:
        """Returns no names: the outputs are the vocabulary's."""
        return []

    def learn_labels(self, splits: DatasetSplits) -> list[str]:
        """Returns no names: the outputs are the vocabulary's."""
        return []

    def unlabelled(self, rows: Rows) -> bool:
        """Returns False: the tokens themselves are what is predicted."""
        return False

    def plain_texts(self, rows: Rows, row: int) -> list[tuple[str, ...]]:
        """Returns nothing: what begins and ends a row is the task's, and a row may be a block of a text."""
        return []

    def prepare(self, model: Any) -> list[str]:
        """Finds out whether logits can be computed at targets alone; returns a line on it."""
        from ftcli.task._head_tap import try_selection

        if try_selection(model):
            return ["logits are computed at the tokens that are learned alone, a chunk of them at a time"]
        return [
            f"{type(model).__name__} changes its logits after the output projection: they are computed at every token"
        ]

    def runs_head(self, model: Any) -> bool:
        """Returns whether logits are computed at targets alone."""
        from ftcli.task._head_tap import selects_logits

        return selects_logits(model)

    # A batch

    def collate(self, table: TokenTable, rows: np.ndarray, **options: Any) -> Batch:
        """Pads rows to the longest of them.

        Returns:
            `input_ids` and `attention_mask`, (batch, seq_len); `labels` (num_targets,), the right ids; `places` (num_targets,), where in the
            flattened (batch * seq_len) states each is predicted; `owner` (num_targets,), its row in the batch; `num_bytes` (batch,). All int64.
        """
        import torch

        padded = pad(table, rows, **options)
        assert table.labels is not None
        targets = padded.spread(table.labels, 0).astype(bool)
        # The first token of a row is never a target, so that the place before a target is of the same row.
        arrays = {name: padded.arrays[name] for name in MODEL_INPUTS} | {
            "labels": padded.arrays["input_ids"][targets],
            "places": np.flatnonzero(targets) - 1,
            "owner": np.nonzero(targets)[0],
            NUM_BYTES: table.extras[NUM_BYTES][rows],
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def compute_loss(self, model: Any, batch: Batch, *, train: bool) -> StepOutput:
        """Runs the model on a batch, and the output projection at targets alone where that is all of its logits.

        Returns:
            The loss as a sum over targets, in fp32 or wider; `logits` are (num_targets, 2), columns LOG_P and TOP.
        """
        import torch

        from ftcli.task import _head_tap, _log_probs

        inputs = {name: batch[name] for name in MODEL_INPUTS}
        labels, places = batch["labels"], batch["places"]
        if _head_tap.selects_logits(model):
            states, head = _head_tap.states_of(model, inputs), model.get_output_embeddings()
            with torch.autocast(states.device.type, enabled=False):
                chosen = states.flatten(0, 1)[places]
                loss, scores = _log_probs.loss_and_scores(chosen, head.weight, head.bias, labels)
        else:
            logits = model(**inputs).logits
            with torch.autocast(logits.device.type, enabled=False):
                loss, scores = _log_probs.scores_of_logits(logits.flatten(0, 1)[places], labels)
        return StepOutput(loss, len(labels), scores)

    def num_targets(self, table: TokenTable, rows: np.ndarray) -> int:
        """Returns how many tokens of these rows, (batch,), are learned."""
        return sum(int(table.label(row).sum()) for row in rows)

    # Checks of a setup

    def num_correct(self, output: StepOutput, batch: Batch) -> int:
        """Returns how many targets are the most probable token, of scores (num_targets, 2)."""
        return int(output.logits[:, TOP].sum())

    def fit_goal(self, table: TokenTable, rows: np.ndarray) -> tuple[float, float]:
        """Returns the entropy of what follows equal beginnings in these rows, (batch,), and what counts as a fit."""
        return floor_of(table, rows)[0], FITTED

    def fit_accuracy(self, table: TokenTable, rows: np.ndarray) -> float:
        """Returns the share of targets of these rows, (batch,), that are the most frequent ones behind their beginning."""
        return floor_of(table, rows)[1]

    def constant(self, table: TokenTable, rows: np.ndarray) -> bool:
        """Returns whether all targets of these rows, (batch,), are one token."""
        found = np.concatenate([table.row(row)[table.label(row).astype(bool)] for row in rows])
        return len(np.unique(found)) < 2

    def random_table(self, hf_config: Any, *, num_rows: int, tokens: int, seed: int) -> TokenTable:
        """Returns rows of random tokens, all but the first of each learned."""
        from ftcli.task._training import LOWEST_RANDOM_ID

        draw = np.random.default_rng(seed)
        ids = draw.integers(LOWEST_RANDOM_ID, int(hf_config.get_text_config().vocab_size), num_rows * tokens)
        offsets = np.arange(num_rows + 1, dtype=np.int64) * tokens
        return marked_table(ids.astype(np.int32), offsets)

    # Predictions

    def records(self, output: StepOutput, batch: Batch) -> list[np.ndarray]:
        """Returns (4,) fp64 a row: sum of log p, hits, targets, bytes. Sums are taken on the CPU, in order, so that they repeat."""
        scores = output.logits.double().cpu().numpy()
        owner, num_bytes = batch["owner"].cpu().numpy(), batch[NUM_BYTES].cpu().numpy()
        sums = [np.bincount(owner, scores[:, column], len(num_bytes)) for column in (LOG_P, TOP)]
        return list(np.stack([*sums, np.bincount(owner, minlength=len(num_bytes)), num_bytes], 1))

    def merge(self, records: list[np.ndarray], table: TokenTable, num_rows: int) -> list[np.ndarray]:
        """Returns the sums of the blocks of each row as it was read, (4,) fp64 each."""
        merged = np.zeros((num_rows, 4))
        for source, record in zip(table.extras[SOURCE].tolist(), records, strict=True):
            merged[source] += record
        return list(merged)

    def scored(self, output: StepOutput, batch: Batch) -> Scored:
        """Returns the sums of every row of a batch."""
        return _likelihood(np.stack(self.records(output, batch)))

    def prediction_row(self, record: np.ndarray, table: TokenTable, rows: Rows, row: int) -> dict[str, Any]:
        """Returns a block's sums; the record is (4,)."""
        log_p, hits, targets, num_bytes = record.tolist()
        return {"log_p": log_p, "hits": int(hits), "tokens": int(targets), "bytes": int(num_bytes)}

    def read_back(self, lines: list[dict[str, Any]]) -> Scored:
        """Returns the sums of lines of a predictions file."""
        names = ("log_p", "hits", "tokens", "bytes")
        return _likelihood(np.array([[line[name] for name in names] for line in lines], dtype=np.float64))

    def error(self, record: np.ndarray, table: TokenTable, row: int) -> float:
        """Returns the mean -log p of a target; the record is (4,)."""
        return float(-record[0] / max(record[2], 1))

    def added_columns(self) -> list[str]:
        """Returns how probable a text is, in three units, and of how many tokens."""
        return ["tokens", "nll", "perplexity", "bits_a_byte"]

    def added_cells(self, record: np.ndarray, table: TokenTable, rows: Rows, row: int) -> list[Any]:
        """Returns tokens, mean -log p of a token in nats, its exponential, and bits a byte; the record is (4,)."""
        log_p, _, targets, num_bytes = record.tolist()
        if not targets:
            return [0, None, None, None]
        nll = -log_p / targets
        bits = -log_p / math.log(2) / num_bytes if num_bytes else None
        return [int(targets), nll, math.exp(min(nll, 700.0)), bits]

    def token_marks(self, table: TokenTable, row: int) -> dict[int, TokenMark]:
        """Highlights the tokens that are learned."""
        start = int(table.offsets[row])
        return {start + int(place): TokenMark(highlighted=True) for place in np.flatnonzero(table.label(row))}

    # A model card

    def usage_call(self) -> str:
        """Returns the call that goes on with a text."""
        return "model.generate(**inputs, max_new_tokens=40, do_sample=False)"

    def usage_answer(self) -> list[str]:
        """Returns the line that prints the text."""
        return ["print(tokenizer.decode(output[0], skip_special_tokens=True))"]


def marked_table(ids: np.ndarray, offsets: np.ndarray) -> TokenTable:
    """Returns rows of which all tokens but the first are learned.

    Args:
        ids: (num_tokens,) int32.
        offsets: (num_rows + 1,) int64.
    """
    labels = np.ones(len(ids), dtype=np.uint8)
    labels[offsets[:-1]] = 0
    extras = {SOURCE: np.arange(len(offsets) - 1), NUM_BYTES: np.diff(offsets)}
    return TokenTable(ids, offsets, labels=labels, extras=extras)


def _likelihood(sums: np.ndarray) -> Scored:
    """Returns rows' sums, (n, 4), as metrics take them."""
    import torch

    found = torch.from_numpy(sums)
    return {"likelihood": (found[:, :2], found[:, 2:].long())}
