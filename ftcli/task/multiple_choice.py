"""One right answer among the choices of each row; any number of choices, row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from ftcli.batching.cells import quoted_list
from ftcli.batching.head import Head
from ftcli.batching.output import Scored, StepOutput
from ftcli.batching.protocols import Batch, Tokenizer, text_encoder
from ftcli.batching.rows import DatasetSplits, Field, Kind, Rows
from ftcli.batching.token_table import TokenTable
from ftcli.config.fields import Bounds
from ftcli.config.registry import register
from ftcli.config.schema import TaskConfig
from ftcli.errors import ConfigError, DataError, Problem
from ftcli.task._usage import text_inputs
from ftcli.task.base import Task, TokenMark, overconfidence, unused_fields, without_values
from ftcli.task.choice_answers import AnswerReader, Answers, letter

if TYPE_CHECKING:
    import torch

ABSENT = -1.0
"""Stands for the probability of a choice that a row does not have."""


@dataclass(kw_only=True, slots=True)
class MultipleChoiceConfig(TaskConfig):
    answers_are: Answers = Answers.auto
    """What the answers are: names of the choices (or letters), their places, their texts. `auto`: what all of them can be."""
    answers_from: Annotated[int | None, Bounds(0, 1)] = None
    """Number of the first choice where answers are places. None: 0 where an answer is 0; any other file is asked about."""

    def problems(self) -> list[Problem]:
        """Returns what is wrong before rows are read."""
        return unused_fields(self, 1, "one output scores each choice; the number of choices is the row's")


@register("task", MultipleChoiceConfig)
class MultipleChoice(Task):
    """Each choice is read together with the question and gets one score; the softmax is over a row's choices.

    As in Devlin et al., 2018 (arXiv:1810.04805, section 4.4). A row is as many sequences as it has
    choices: the question and a choice, or (with data.columns.text_pair) the context, and the question
    with a choice. Architectures without a head for it are given a sequence classifier's with one output,
    which is the same computation.
    """

    heads = (
        Head("AutoModelForMultipleChoice", one_row=True),
        Head("AutoModelForSequenceClassification", peft_task_type="SEQ_CLS"),
    )
    sequence_name = "choice"
    alternatives = True
    kinds = ("ranking",)
    error_name = "p(prediction) - p(label)"
    pipeline_tag = "multiple-choice"
    config: MultipleChoiceConfig

    def fields(self) -> tuple[Field, ...]:
        """Returns the columns of question, context, choices, their names and the answer."""
        columns = self.columns
        if not columns.choices:
            hint = "type 'data.columns.choices=[COLUMN]', or one column a choice: [A,B,C,D]"
            raise ConfigError(Problem("data.columns.choices", "names no column", hint))
        kind = Kind.texts if len(columns.choices) == 1 else Kind.text
        fields = [Field("text", columns.text), *(Field("choices", name, kind) for name in columns.choices)]
        if columns.text_pair is not None:
            fields.append(Field("text_pair", columns.text_pair))
        if columns.choice_names is not None:
            fields.append(Field("choice_names", columns.choice_names, Kind.texts))
        return (*fields, Field("label", columns.label, Kind.label))

    def assumed_labels(self) -> list[str]:
        """Returns one name: one output scores each choice."""
        return ["0"]

    def learn_labels(self, splits: DatasetSplits) -> list[str]:
        """Checks every part's answers; the head has one output.

        Raises:
            DataError: an answer that is none of the row's choices, a row with fewer than two choices.
        """
        self.label_names = ["choice"]
        found = [
            one
            for one in (splits.train, splits.validation, splits.test)
            if one is not None and not self.unlabelled(one)
        ]
        self._answers().check([(rows, self.columns.label) for rows in found])
        for rows in (splits.train, splits.validation, splits.test):
            if rows is not None:
                self.read_labels(rows)
        return self.label_names

    def unlabelled(self, rows: Rows) -> bool:
        """Returns whether a part other than train and validation has no answers: no column, or all empty."""
        return without_values(rows, self.columns.label)

    def read_labels(self, rows: Rows) -> np.ndarray | None:
        """Returns the place of the right choice, (num_rows,) int64, or None for an unlabelled part.

        All answers of a part are read in one way: as names of choices (A, B, ... unless they have
        names), else as letters, else as places, else as the text of a choice.

        Raises:
            DataError: an answer that is none of the row's choices, named with its line.
        """
        if self.unlabelled(rows):
            return None
        if self.names_of_head:  # no training rows say from where the answers count
            self._answers().check([(rows, self.columns.label)])
        return np.array(self._answers().read(rows, self.columns.label), dtype=np.int64)

    def _answers(self) -> AnswerReader:
        return AnswerReader(self.config.answers_are, self.config.answers_from, self.names, self.choices)

    def choices(self, rows: Rows, row: int) -> list[str]:
        """Returns the texts of a row's choices.

        Raises:
            DataError: there are fewer than two.
        """
        columns = [rows.columns[name][row] for name in self.columns.choices]
        found = quoted_list(columns[0]) if len(columns) == 1 else columns
        if not isinstance(found, list) or len(found) < 2:
            expected = "expected a list of at least two texts in data.columns.choices, or a column for each"
            raise DataError(Problem(rows.where(row), f"the choices are {found!r}", expected))
        return found

    def names(self, rows: Rows, row: int) -> list[str]:
        """Returns the names of a row's choices.

        Raises:
            DataError: names that are not as many as the choices, or not distinct.
        """
        count, column = len(self.choices(rows, row)), self.columns.choice_names
        if column is None:
            own = self.columns.choices
            return self._declared(count) or (list(own) if len(own) > 1 else [letter(i) for i in range(count)])
        names = quoted_list(rows.columns[column][row])
        if not isinstance(names, list) or len(names) != count or len(set(names)) != count:
            message = f"the names of its {count} choices are {names!r}"
            raise DataError(Problem(rows.where(row), message, "expected as many, all different"))
        return names

    def _declared(self, count: int) -> list[str]:
        """Returns the first names of data.label_names, which are those of the places."""
        names = self.declared_names or []
        if names and (len(names) < count or len(set(names)) < len(names)):
            message = f"names {len(names)} choices, and a row has {count}"
            raise ConfigError(
                Problem("data.label_names", message, "name as many as there are, all different")
            )
        return names[:count]

    def plain_texts(self, rows: Rows, row: int) -> list[tuple[str, ...]]:
        """Returns the pair that each choice is read as."""
        question = rows.columns[self.columns.text][row]
        context = self.columns.text_pair and rows.columns[self.columns.text_pair][row]
        choices = self.choices(rows, row)
        return [(context, f"{question} {choice}") if context else (question, choice) for choice in choices]

    def encode(self, rows: Rows, tokenizer: Tokenizer, *, labelled: bool = True) -> TokenTable:
        """Returns the rows as groups of sequences, one for each choice; labels are the places of the right ones, (num_rows,) int64."""
        labels = self.read_labels(rows) if labelled else None
        pairs, ends = [], [0]
        for row in range(len(rows)):
            pairs += self.plain_texts(rows, row)
            ends.append(len(pairs))
        whole = text_encoder(tokenizer).encode([pair[0] for pair in pairs], [pair[1] for pair in pairs])
        return TokenTable(whole.ids, whole.offsets, whole.token_types, labels, np.array(ends, dtype=np.int64),
                          whole.extras, num_truncated=whole.num_truncated, num_tokens_cut=whole.num_tokens_cut)  # fmt: skip

    def collate(self, table: TokenTable, rows: np.ndarray, **options: Any) -> Batch:
        """Pads all choices of the rows to the longest of them.

        Returns:
            `input_ids` and its like (num_sequences, seq_len); `place` (batch, max_choices) int64, the number
            of each choice's sequence in the batch, -1 where the row has no such choice; `labels` (batch,).
        """
        import torch

        batch = super().collate(table, rows, **options)
        assert table.groups is not None
        counts = table.groups[rows + 1] - table.groups[rows]
        column = np.arange(counts.max())[None, :]
        first = np.cumsum(counts) - counts
        place = np.where(column < counts[:, None], first[:, None] + column, -1)
        return batch | {"place": torch.from_numpy(place)}

    def logits(self, model: Any, batch: Batch) -> torch.Tensor:
        """Returns the scores, (batch, max_choices) fp32, -inf where a row has no such choice."""
        inputs = {name: tensor for name, tensor in batch.items() if name not in ("labels", "place")}
        if type(model).__name__.endswith("ForMultipleChoice"):
            # The head sees one row of all choices, so that rows may differ in how many they have.
            inputs = {name: tensor[None] for name, tensor in inputs.items()}
        scores = model(**inputs).logits.float().flatten()
        place = batch["place"]
        return scores[place.clamp(min=0)].masked_fill(place < 0, float("-inf"))

    def loss(self, logits: torch.Tensor, batch: Batch, *, train: bool) -> tuple[torch.Tensor, int]:
        """Returns the sum over rows of the cross entropy over their choices, (batch, max_choices) -> () fp32, and how many rows there are."""
        import torch.nn.functional as F

        return F.cross_entropy(logits, batch["labels"], reduction="sum"), len(logits)

    def constant(self, table: TokenTable, rows: np.ndarray) -> bool:
        """Returns False for any rows, (batch,): the head does not see the place of a choice, so equal places are no shortcut."""
        return False

    def scored(self, output: StepOutput, batch: Batch) -> Scored:
        """Returns the probabilities of the choices, (batch, max_choices), and the places of the right ones, (batch,)."""
        return {"ranking": (_probabilities(output.logits), batch["labels"])}

    def records(self, output: StepOutput, batch: Batch) -> list[np.ndarray]:
        """Returns the probabilities of each row's choices, (num_choices,) fp32."""
        found = _probabilities(output.logits).cpu().numpy()
        counts = (batch["place"] >= 0).sum(1).tolist()
        return [row[:count] for row, count in zip(found, counts, strict=True)]

    def prediction_row(self, record: np.ndarray, table: TokenTable, rows: Rows, row: int) -> dict[str, Any]:
        """Returns the names of the right and the most probable choice, and the probability of each; the record is (num_choices,)."""
        names = self.names(rows, row)
        return {
            "label": None if table.labels is None else names[int(table.labels[row])],
            "prediction": names[int(record.argmax())],
            "probabilities": dict(zip(names, map(float, record), strict=True)),
        }

    def read_back(self, lines: list[dict[str, Any]]) -> Scored:
        """Returns probabilities, (num_rows, max_choices), and places, (num_rows,), of lines of a predictions file."""
        import torch

        width = max(len(line["probabilities"]) for line in lines)
        found = torch.full((len(lines), width), ABSENT)
        for row, line in enumerate(lines):
            found[row, : len(line["probabilities"])] = torch.tensor(list(line["probabilities"].values()))
        places = [list(line["probabilities"]).index(line["label"]) for line in lines]
        return {"ranking": (found, torch.tensor(places))}

    def saved_logits(self, lines: list[dict[str, Any]]) -> torch.Tensor:
        """Returns the log of the probabilities, (batch, max_choices), -inf where a row has no such choice."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        found = [torch.tensor(list(line["probabilities"].values())).log() for line in lines]
        return pad_sequence(found, batch_first=True, padding_value=float("-inf"))

    def error(self, record: np.ndarray, table: TokenTable, row: int) -> float:
        """Returns how much more probable the prediction is than the label; the record is (num_choices,)."""
        assert table.labels is not None
        return overconfidence(record, int(table.labels[row]))

    def added_columns(self) -> list[str]:
        """Returns the best choice, all of them from the best to the worst, and their probabilities in the row's order."""
        return ["prediction", "ranking", "probabilities"]

    def added_cells(self, record: np.ndarray, table: TokenTable, rows: Rows, row: int) -> list[Any]:
        """Returns name, names by falling probability (`B A C`), and the list of probabilities; the record is (num_choices,)."""
        names = self.names(rows, row)
        order = np.argsort(-record, kind="stable")
        return [names[order[0]], " ".join(names[i] for i in order), [float(value) for value in record]]

    def label_text(self, table: TokenTable, row: int) -> str:
        """Returns which of the row's choices is the right one."""
        assert table.groups is not None and table.labels is not None
        count = int(table.groups[row + 1] - table.groups[row])
        return f"choice {int(table.labels[row]) + 1} of {count}"

    def token_marks(self, table: TokenTable, row: int) -> dict[int, TokenMark]:
        """Highlights the tokens of the right choice, and writes so behind the first one: not every terminal has colors."""
        assert table.groups is not None and table.labels is not None
        right = int(table.groups[row]) + int(table.labels[row])
        start, end = table.offsets[right : right + 2].tolist()
        marks = dict.fromkeys(range(start, end), TokenMark(highlighted=True))
        return marks | {start: TokenMark(highlighted=True, tag="right")}

    def usage_inputs(self, head: Head, input_names: tuple[str, ...]) -> list[str]:
        """Returns lines that read a question with each of two choices."""
        call = 'tokenizer(["the question", "the question"], ["one choice", "another"], truncation=True, padding=True, return_tensors="pt")'
        lines = text_inputs(call, input_names)
        if head.one_row:
            lines.append("inputs = {name: value[None] for name, value in inputs.items()}")
        return lines

    def usage_answer(self) -> list[str]:
        """Returns the line that prints the probabilities of the choices."""
        return ["print(output.logits.flatten().softmax(-1))  # the probability of each choice"]


def _probabilities(logits: torch.Tensor) -> torch.Tensor:
    return logits.softmax(-1).masked_fill(logits == float("-inf"), ABSENT)
