"""A tag for every word of a row: entities, parts of speech."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from ftcli.batching.cells import label_list, quoted_list
from ftcli.batching.collate import pad
from ftcli.batching.head import Head
from ftcli.batching.output import Scored, StepOutput
from ftcli.batching.protocols import Batch, Tokenizer, text_encoder
from ftcli.batching.rows import DatasetSplits, Field, Kind, Rows
from ftcli.batching.token_table import TokenTable
from ftcli.config.registry import register
from ftcli.config.schema import TaskConfig
from ftcli.errors import ConfigError, DataError, Problem
from ftcli.task._usage import MOST_PROBABLE
from ftcli.task.base import Task, TokenMark, require_two, unused_fields
from ftcli.task.label_ids import are_ids, list_ids
from ftcli.task.labels import named, order_names

if TYPE_CHECKING:
    import torch

IGNORED = -100
"""Label of a token that is not the first one of a word."""
OUTSIDE = "O"


@dataclass(kw_only=True, slots=True)
class TokenClassificationConfig(TaskConfig):
    def problems(self) -> list[Problem]:
        """Returns what is wrong before rows are read."""
        return unused_fields(self, None)


@register("task", TokenClassificationConfig)
class TokenClassification(Task):
    """Tags of words, learned at the first token of each word (Devlin et al., 2018, arXiv:1810.04805, section 5.3).

    Evaluation counts words, not tokens: a word that was cut off by max_length counts as predicted `O`
    (or the first tag, where there is no O).
    """

    heads = (Head("AutoModelForTokenClassification", per_token=True, peft_task_type="TOKEN_CLS"),)
    kinds = ("tags", "ids")
    confusion_kind = "ids"
    pipeline_tag = "token-classification"
    error_name = "sum of p(wrong tag)"

    def fields(self) -> tuple[Field, ...]:
        """Returns the columns of words and tags."""
        return (
            Field("text", self.columns.text, Kind.texts),
            Field("label", self.columns.label, Kind.label),
        )

    def learn_labels(self, splits: DatasetSplits) -> list[str]:
        """Decides the tags and checks those of every part.

        Raises:
            DataError: another number of tags than of words, or a tag unknown to training.
            ConfigError: task.num_labels does not agree.
        """
        train = splits.train
        assert train is not None, "labels are learned from training rows"
        if self.label_names is None and train.class_names:
            self.label_names = list(train.class_names)
        elif self.label_names is None:
            found = {tag for row in range(len(train)) for tag in self.tags(train, row)}
            self.label_names = order_names(found)
        self.declared = self.declared or train.class_names is not None
        expected = self.config.num_labels
        if expected is not None and expected != len(self.label_names):
            message = f"got {expected}, but there are {len(self.label_names)} tags: {', '.join(self.label_names[:12])}"
            hint = f"type task.num_labels={len(self.label_names)}"
            raise ConfigError(Problem("task.num_labels", message, hint))
        ids = self.read_labels(train)
        assert ids is not None
        distinct = np.unique(np.concatenate(ids))
        require_two(len(distinct), train, self.columns.label, repr(self.label_names[int(distinct[0])]))
        for rows in (splits.validation, splits.test):
            if rows is not None:
                self.read_labels(rows)
        return self.label_names

    def words(self, rows: Rows, row: int) -> list[str]:
        """Returns the words of a row; a text is split at its spaces, one such as `['a', 'b']` is the list it shows."""
        value = quoted_list(rows.columns[self.columns.text][row])
        return value.split(" ") if isinstance(value, str) else value

    def tags(self, rows: Rows, row: int) -> list[str]:
        """Returns the tags of a row, one a word.

        Raises:
            DataError: there are more or fewer than words, or a value that is no tag.
        """
        value = rows.columns[self.columns.label][row]
        if isinstance(value, str):
            listed = label_list(value, ",") if value.lstrip().startswith(("[", "(")) else None
            value = value.split(" ") if listed is None else listed
        if not isinstance(value, list):
            expected = "expected a list of tags, or text with a space between them"
            raise DataError(Problem(rows.where(row), f"the tags are {value!r}", expected))
        words = self.words(rows, row)
        if len(value) != len(words):
            message = f"{len(value)} tags for {len(words)} words"
            raise DataError(Problem(rows.where(row), message, "expected a tag for each word"))
        return named(value, rows, row, self.columns.label)

    def unlabelled(self, rows: Rows) -> bool:
        """Returns whether a part other than train and validation has no tags: no column, or all empty."""
        values = rows.columns.get(self.columns.label)
        free = rows.name not in ("train", "validation")
        return free and (values is None or all(not value for value in values))

    def read_labels(self, rows: Rows) -> Any:
        """Returns the ids of each row's tags, a list of (num_words,) int64, or None for an unlabelled part.

        Raises:
            DataError: a tag that training does not know, named with its line, or a part without a word.
        """
        assert self.label_names is not None, "learn_labels comes first"
        if self.unlabelled(rows):
            return None
        tags = [self.tags(rows, row) for row in range(len(rows))]
        if not any(tags):
            message = f"none of the {len(rows):,} rows of the {rows.name} part has a word"
            hint = f"is {self.columns.text!r} the right column?"
            raise DataError(Problem("data.columns.text", message, hint))
        ids = list_ids(
            rows,
            tags,
            self.label_names,
            declared=self.declared,
            base=self.config.labels_from or 0,
            own_names=self.declared_names,
            of_head=self.names_of_head,
            noun="tag",
        )
        if rows.name == "train":
            self.reads_ids = are_ids(chain.from_iterable(tags), self.label_names, rows, learned=False)
        return [np.array(own, dtype=np.int64) for own in ids]

    def plain_texts(self, rows: Rows, row: int) -> list[tuple[str, ...]]:
        """Returns the words with a space between them."""
        return [(" ".join(self.words(rows, row)),)]

    def encode(self, rows: Rows, tokenizer: Tokenizer, *, labelled: bool = True) -> TokenTable:
        """Returns the rows as tokens, the tag of each word at its first token.

        Extras: `words` (num_tokens,) int64, the word a token is the first of, -1 for any other;
        `word_offsets` (num_rows + 1,) int64 and `tags` (all words,) int64, so that words that were cut
        off still count.
        """
        labels = self.read_labels(rows) if labelled else None
        words = [self.words(rows, row) for row in range(len(rows))]
        table = text_encoder(tokenizer).encode_words(words)
        first = table.extras["words"]
        ends = np.cumsum([0, *map(len, words)], dtype=np.int64)
        table.extras["word_offsets"] = ends
        if labels is not None:
            table.extras["tags"] = np.concatenate(labels) if labels else np.zeros(0, dtype=np.int64)
            starts = np.repeat(ends[:-1], table.lengths)
            table.labels = np.where(
                first >= 0, table.extras["tags"][np.where(first >= 0, starts + first, 0)], IGNORED
            )
        return table

    def label_counts(self, table: TokenTable) -> dict[str, int] | None:
        """Returns tag -> words that have it."""
        assert self.label_names is not None
        counts = np.bincount(table.extras["tags"], minlength=len(self.label_names))
        return dict(zip(self.label_names, counts.tolist(), strict=True))

    def collate(self, table: TokenTable, rows: np.ndarray, **options: Any) -> Batch:
        """Pads rows and their labels to the longest of them.

        Returns:
            As every task, and `labels` (batch, seq_len) int64, -100 where nothing is learned; `words`
            (batch, seq_len), the word a token is the first of; `num_words` (batch,); `tags` (all words of the
            batch,), where the rows have labels.
        """
        import torch

        padded = pad(table, rows, **options)
        ends = table.extras["word_offsets"]
        arrays = padded.arrays | {
            "words": padded.spread(table.extras["words"], -1),
            "num_words": ends[rows + 1] - ends[rows],
        }
        if table.labels is not None:
            arrays["labels"] = padded.spread(table.labels, IGNORED)
            arrays["tags"] = np.concatenate([table.extras["tags"][ends[row] : ends[row + 1]] for row in rows])
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def logits(self, model: Any, batch: Batch) -> torch.Tensor:
        """Returns the tags' scores, (batch, seq_len, num_labels) fp32."""
        own = ("labels", "words", "num_words", "tags")
        return model(**{name: t for name, t in batch.items() if name not in own}).logits.float()

    def loss(self, logits: torch.Tensor, batch: Batch, *, train: bool) -> tuple[torch.Tensor, int]:
        """Returns the sum of cross entropies over the first tokens of words, () fp32, and how many they are.

        Args:
            logits: (batch, seq_len, num_labels).
            batch: with `labels`, (batch, seq_len) int64.
            train: has no say.
        """
        import torch.nn.functional as F

        labels = batch["labels"]
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum", ignore_index=IGNORED)
        return loss, int((labels != IGNORED).sum())

    def num_targets(self, table: TokenTable, rows: np.ndarray) -> int:
        """Returns how many words of these rows, (batch,), are learned from; 1 where none is, as a mean needs a divisor."""
        assert table.labels is not None
        return max(1, sum(int((table.label(row) != IGNORED).sum()) for row in rows))

    def num_correct(self, output: StepOutput, batch: Batch) -> int:
        """Returns how many words have the right tag, among the first tokens of (batch, seq_len) labels."""
        labels = batch["labels"]
        return int(((output.logits.argmax(-1) == labels) & (labels != IGNORED)).sum())

    def constant(self, table: TokenTable, rows: np.ndarray) -> bool:
        """Returns whether all words of these rows, (batch,), have one tag."""
        found = np.unique(np.concatenate([table.label(row) for row in rows]))
        return len(found[found != IGNORED]) < 2

    def scored(self, output: StepOutput, batch: Batch) -> Scored:
        """Returns the tags of all words: row by row as texts, and end to end as ids, (all words,) int64."""
        import torch

        found = [record[0].astype(np.int64) for record in self.records(output, batch)]
        right = np.split(batch["tags"].cpu().numpy(), np.cumsum([len(row) for row in found])[:-1])
        ids = torch.from_numpy(np.concatenate(found)), batch["tags"].cpu()
        return {
            "tags": ([self._texts(row) for row in found], [self._texts(row) for row in right]),
            "ids": ids,
        }

    def _texts(self, ids: np.ndarray) -> list[str]:
        assert self.label_names is not None
        return [self.label_names[i] for i in ids.tolist()]

    def records(self, output: StepOutput, batch: Batch) -> list[np.ndarray]:
        """Returns (2, num_words) fp32 a row: the id of each word's tag, and its probability (0 for a word cut off)."""
        assert self.label_names is not None
        outside = self.label_names.index(OUTSIDE) if OUTSIDE in self.label_names else 0
        best, ids = (tensor.cpu().numpy() for tensor in output.logits.softmax(-1).max(-1))
        records = []
        for row, words in enumerate(batch["words"].cpu().numpy()):
            record = np.zeros((2, int(batch["num_words"][row])), dtype=np.float32)
            record[0] = outside
            first = words >= 0
            record[:, words[first]] = ids[row][first], best[row][first]
            records.append(record)
        return records

    def prediction_row(self, record: np.ndarray, table: TokenTable, rows: Rows, row: int) -> dict[str, Any]:
        """Returns tags, predicted tags and the probability of each predicted one, word by word; the record is (2, num_words)."""
        ends = table.extras["word_offsets"]
        right = None if table.labels is None else self._texts(table.extras["tags"][ends[row] : ends[row + 1]])
        return {
            "words": self.words(rows, row),
            "label": right,
            "prediction": self._texts(record[0].astype(np.int64)),
            "probabilities": [float(value) for value in record[1]],
        }

    def read_back(self, lines: list[dict[str, Any]]) -> Scored:
        """Returns the tags of lines of a predictions file."""
        import torch

        assert self.label_names is not None
        ids = {name: i for i, name in enumerate(self.label_names)}
        found, right = ([line[name] for line in lines] for name in ("prediction", "label"))
        flat = [torch.tensor([ids[tag] for row in rows for tag in row]) for rows in (found, right)]
        return {"tags": (found, right), "ids": (flat[0], flat[1])}

    def error(self, record: np.ndarray, table: TokenTable, row: int) -> float:
        """Returns the sum over wrong tags of the probability given to them; the record is (2, num_words)."""
        ends = table.extras["word_offsets"]
        wrong = record[0].astype(np.int64) != table.extras["tags"][ends[row] : ends[row + 1]]
        return float(record[1][wrong].sum())

    def added_columns(self) -> list[str]:
        """Returns the tags and the probability of each."""
        return ["prediction", "probabilities"]

    def added_cells(self, record: np.ndarray, table: TokenTable, rows: Rows, row: int) -> list[Any]:
        """Returns the tags with a space between them, and the list of probabilities; the record is (2, num_words)."""
        return [" ".join(self._texts(record[0].astype(np.int64))), [float(value) for value in record[1]]]

    def token_marks(self, table: TokenTable, row: int) -> dict[int, TokenMark]:
        """Shows the tag of each word behind its first token."""
        assert self.label_names is not None and table.labels is not None
        start, end = table.offsets[row : row + 2].tolist()
        tags = {place: int(table.labels[place]) for place in range(start, end)}
        names = {place: self.label_names[tag] for place, tag in tags.items() if tag != IGNORED}
        return {place: TokenMark(highlighted=name != OUTSIDE, tag=name) for place, name in names.items()}

    def usage_answer(self) -> list[str]:
        """Returns lines that print the tag of each token."""
        return MOST_PROBABLE
