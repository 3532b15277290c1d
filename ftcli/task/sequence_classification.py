"""One label for a text or a pair of texts."""

from __future__ import annotations

from ftcli.batching.head import Head
from ftcli.config.registry import register
from ftcli.config.schema import TaskConfig
from ftcli.task.single_label import OneClass


@register("task", TaskConfig)
class SequenceClassification(OneClass):
    """A classifier of texts."""

    heads = (Head("AutoModelForSequenceClassification", peft_task_type="SEQ_CLS"),)
    pipeline_tag = "text-classification"
