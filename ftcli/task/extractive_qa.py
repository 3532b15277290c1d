"""The answer to a question, cut out of a context."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ftcli.batching.collate import pad
from ftcli.batching.head import Head
from ftcli.batching.output import Scored, StepOutput
from ftcli.batching.protocols import Batch, Tokenizer, text_encoder
from ftcli.batching.rows import DatasetSplits, Field, Kind, Rows
from ftcli.batching.token_table import TokenTable
from ftcli.config.registry import register
from ftcli.config.schema import TaskConfig
from ftcli.errors import ConfigError, DataError, Problem
from ftcli.task._usage import TWO_TEXTS, text_inputs
from ftcli.task.base import Task, unused_fields, without_values
from ftcli.task.qa_answers import firsts, read_answers, stored, taken
from ftcli.task.qa_spans import choose, window_spans

if TYPE_CHECKING:
    import torch

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(kw_only=True, slots=True)
class ExtractiveQAConfig(TaskConfig):
    doc_stride: int = 128
    """Tokens from the beginning of a context's window to that of the next one, at most half a window's part of the context."""
    max_answer_tokens: int = 30
    """Most tokens of a predicted answer."""
    null_threshold: float | None = None
    """No answer is predicted where its score is this much above the best span's. None: there always is one."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before rows are read."""
        problems = []
        for name in ("doc_stride", "max_answer_tokens"):
            if (value := getattr(self, name)) < 1:
                problems.append(Problem(f"task.{name}", f"got {value}", "expected at least 1"))
        why = "two outputs score each token, as the first and as the last of the answer"
        return problems + unused_fields(self, 2, why)


@register("task", ExtractiveQAConfig)
class ExtractiveQA(Task):
    """First and last token of the answer, each by a softmax over a window (Devlin et al., 2018, arXiv:1810.04805, section 4.2).

    A row is as many sequences as its context has windows. Training takes the first of its answers; where a
    window does not hold all of it, or there is none, the window's first token (CLS, where there is one) is
    both first and last.
    """

    heads = (
        Head(
            "AutoModelForQuestionAnswering",
            outputs=("start_logits", "end_logits"),
            per_token=True,
            peft_task_type="QUESTION_ANS",
            peft_drops_inputs=True,
        ),
    )
    sequence_name = "window"
    kinds = ("answers",)
    pipeline_tag = "question-answering"
    error_name = "p(wrong answer)"

    config: ExtractiveQAConfig

    def fields(self) -> tuple[Field, ...]:
        """Returns the columns of question, context and answers."""
        if self.columns.text_pair is None:
            hint = "type data.columns.text_pair=context"
            raise ConfigError(Problem("data.columns.text_pair", "names no column of contexts", hint))
        return (
            Field("text", self.columns.text),
            Field("text_pair", self.columns.text_pair),
            Field("label", self.columns.label, Kind.label),
        )

    @property
    def context(self) -> str:
        """The column of the contexts."""
        assert self.columns.text_pair is not None, "fields comes first"
        return self.columns.text_pair

    def learn_labels(self, splits: DatasetSplits) -> list[str]:
        """Checks every part's answers; the head has two outputs.

        Raises:
            DataError: an answer that does not stand where it should, or training rows of which none has one.
            ConfigError: training rows without an answer, and task.null_threshold never predicts that.
        """
        self.label_names = ["start", "end"]
        for rows in (splits.validation, splits.test):
            if rows is not None and not self.unlabelled(rows):
                read_answers(rows, self.columns.label, self.context)
        train = splits.train
        assert train is not None, "labels are learned from training rows"
        free = sum(not spans for spans in read_answers(train, self.columns.label, self.context))
        if free == len(train):
            hint = f"is {self.columns.label!r} the right column?"
            raise DataError(Problem("data.columns.label", f"none of the {free:,} training rows has an answer", hint))  # fmt: skip
        if free and self.config.null_threshold is None:
            message = f"is null, so that there always is an answer, but {free:,} of {len(train):,} training rows have none"
            raise ConfigError(Problem("task.null_threshold", message, "type task.null_threshold=0"))
        return self.label_names

    def unlabelled(self, rows: Rows) -> bool:
        """Returns whether a part other than train and validation has no answers: no column, or all null.

        An empty list is an answer: the question has none.
        """
        return without_values(rows, self.columns.label)

    def read_labels(self, rows: Rows) -> np.ndarray | None:
        """Returns the characters of each row's first answer, (num_rows, 2) int32, -1 and -1 for none."""
        if self.unlabelled(rows):
            return None
        return firsts(read_answers(rows, self.columns.label, self.context))

    def plain_texts(self, rows: Rows, row: int) -> list[tuple[str, ...]]:
        """Returns nothing: windows of a context are cut by a rule of this task."""
        return []

    def encode(self, rows: Rows, tokenizer: Tokenizer, *, labelled: bool = True) -> TokenTable:
        """Returns the rows as groups of windows.

        Labels are those of `read_labels`. Extras: `starts`, `ends` and `positions` of the tokenizer's windows;
        for metrics `answers` (num_answers, 2) int32, the characters of all answers, with `answer_ends`
        (num_rows + 1,), and `contexts`, the bytes of all distinct contexts in UTF-8, with `context_ends`
        (num_contexts + 1,) and `context` (num_rows,), the number of each row's.
        """
        contexts = rows.columns[self.context]
        answers = None
        if labelled and not self.unlabelled(rows):
            answers = read_answers(rows, self.columns.label, self.context)
        labels = None if answers is None else firsts(answers)
        table = text_encoder(tokenizer).encode_windows(
            rows.columns[self.columns.text], contexts, step=self.config.doc_stride, spans=labels, where=rows.where
        )  # fmt: skip
        table.labels = labels
        if answers is not None:
            table.extras |= stored(contexts, answers)
        return table

    def collate(self, table: TokenTable, rows: np.ndarray, **options: Any) -> Batch:
        """Pads all windows of the rows to the longest of them.

        Returns:
            `input_ids` and its like (num_windows, seq_len); `starts` and `ends`, characters of the context;
            `first` (num_windows,), the place of each window's first token; `windows` (batch,), how many a
            row has. With labels: `labels` (num_windows, 2) int64, the places of first and last token, and
            the rows' `answers`, `num_answers`, `contexts` and `num_bytes`.
        """
        import torch

        assert table.groups is not None
        sequences = table.sequences(rows)
        padded = pad(table, sequences, **options)  # fmt: skip
        first = padded.arrays["attention_mask"].argmax(1)
        arrays = padded.arrays | {name: padded.spread(table.extras[name], 0) for name in ("starts", "ends")}
        arrays |= {"first": first, "windows": table.groups[rows + 1] - table.groups[rows]}
        if table.labels is not None:
            arrays["labels"] = table.extras["positions"][sequences] + first[:, None]
            arrays |= taken(table.extras, rows)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def logits(self, model: Any, batch: Batch) -> torch.Tensor:
        """Returns the scores of first and last tokens, (num_windows, seq_len, 2) fp32, -inf at padding."""
        import torch

        output = model(**{name: batch[name] for name in INPUTS if name in batch})
        logits = torch.stack([output.start_logits, output.end_logits], -1).float()
        return logits.masked_fill(batch["attention_mask"][..., None] == 0, float("-inf"))

    def loss(self, logits: torch.Tensor, batch: Batch, *, train: bool) -> tuple[torch.Tensor, int]:
        """Returns the sum over windows of the mean of both cross entropies, () fp32, and how many windows there are.

        Args:
            logits: (num_windows, seq_len, 2).
            batch: with `labels`, (num_windows, 2) int64.
            train: has no say.
        """
        import torch.nn.functional as F

        return F.cross_entropy(logits, batch["labels"], reduction="sum") / 2, len(logits)

    def num_targets(self, table: TokenTable, rows: np.ndarray) -> int:
        """Returns how many windows these rows, (batch,), have."""
        return len(table.sequences(rows))

    def num_correct(self, output: StepOutput, batch: Batch) -> int:
        """Returns how many of the (num_windows,) have the right first and last token."""
        return int((output.logits.argmax(1) == batch["labels"]).all(1).sum())

    def mean_logits(self, logits: torch.Tensor) -> torch.Tensor:
        """Returns the log of the mean probability of each token, as the first and as the last of the answer.

        Args:
            logits: (members, num_windows, seq_len, 2).
        """
        return logits.softmax(2).mean(0).log()

    def constant(self, table: TokenTable, rows: np.ndarray) -> bool:
        """Returns whether first and last token stand at the same place in all windows of these rows, (batch,)."""
        return len(np.unique(table.extras["positions"][table.sequences(rows)], axis=0)) < 2

    def scored(self, output: StepOutput, batch: Batch) -> Scored:
        """Returns predicted texts, (batch,), and the list of right ones of each row."""
        own = {
            name: batch[name].cpu().numpy() for name in ("contexts", "num_bytes", "answers", "num_answers")
        }
        contexts = [piece.tobytes().decode() for piece in _split(own["contexts"], own["num_bytes"])]
        spans = [record[:2].astype(int).tolist() for record in self.records(output, batch)]
        found = [context[a:b] for context, (a, b) in zip(contexts, spans, strict=True)]
        right = [
            [context[a:b] for a, b in piece.tolist()]
            for context, piece in zip(contexts, _split(own["answers"], own["num_answers"]), strict=True)
        ]
        return {"answers": (found, right)}

    def records(self, output: StepOutput, batch: Batch) -> list[np.ndarray]:
        """Returns (4,) fp64 a row: first character of the answer, the one after its last, score, probability."""
        usable = batch["ends"] > batch["starts"]
        scores, begins, lasts = window_spans(output.logits, usable, self.config.max_answer_tokens)
        starts = np.take_along_axis(batch["starts"].cpu().numpy(), begins, 1)
        ends = np.take_along_axis(batch["ends"].cpu().numpy(), lasts, 1)
        window = batch["first"].new_tensor(range(len(batch["first"])))
        nulls = output.logits[window, batch["first"]].sum(-1).cpu().numpy()
        counts = batch["windows"].cpu().numpy()
        pieces = zip(*(_split(array, counts) for array in (scores, starts, ends, nulls)), strict=True)
        threshold = self.config.null_threshold
        return [choose(s.ravel(), a.ravel(), b.ravel(), float(n.min()), threshold) for s, a, b, n in pieces]

    def prediction_row(self, record: np.ndarray, table: TokenTable, rows: Rows, row: int) -> dict[str, Any]:
        """Returns the right answers (an empty list where there is none), and what was predicted; the record is (4,)."""
        label = None
        if table.labels is not None:
            ends = table.extras["answer_ends"][row : row + 2]
            spans = table.extras["answers"][slice(*ends)].tolist()
            label = [rows.columns[self.context][row][a:b] for a, b in spans]
        cells = self.added_cells(record, table, rows, row)
        return {"label": label, **dict(zip(self.added_columns(), cells, strict=True))}

    def read_back(self, lines: list[dict[str, Any]]) -> Scored:
        """Returns the texts of lines of a predictions file."""
        return {"answers": ([line["prediction"] for line in lines], [line["label"] for line in lines])}

    def error(self, record: np.ndarray, table: TokenTable, row: int) -> float:
        """Returns the probability of an answer that is none of the right ones; the record is (4,)."""
        right = table.extras["answers"][slice(*table.extras["answer_ends"][row : row + 2])].tolist()
        span = record[:2].astype(int).tolist()
        return 0.0 if span in right or (not right and span[0] == span[1]) else float(record[3])

    def added_columns(self) -> list[str]:
        """Returns the answer (empty for none), its score and its probability."""
        return ["prediction", "score", "probability"]

    def added_cells(self, record: np.ndarray, table: TokenTable, rows: Rows, row: int) -> list[Any]:
        """Returns the text as it stands in the context, the sum of logits, and the probability; the record is (4,)."""
        start, end = record[:2].astype(int)
        return [rows.columns[self.context][row][start:end], float(record[2]), float(record[3])]

    def usage_inputs(self, head: Head, input_names: tuple[str, ...]) -> list[str]:
        """Returns lines that read a question and a context."""
        return text_inputs(TWO_TEXTS, input_names)

    def usage_answer(self) -> list[str]:
        """Returns lines that print the text between the most probable first and last token."""
        return [
            "start, end = output.start_logits[0].argmax(), output.end_logits[0].argmax()",
            'print(tokenizer.decode(inputs["input_ids"][0, start : end + 1]))',
        ]


def _split(array: np.ndarray, counts: np.ndarray) -> list[np.ndarray]:
    return np.split(array, np.cumsum(counts)[:-1])
