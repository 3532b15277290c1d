"""One label for a text or a pair of texts."""

from __future__ import annotations

from ftcli.config import TaskConfig
from ftcli.registry import register
from ftcli.task.one_class import OneClass


@register("task", TaskConfig)
class SequenceClassification(OneClass):
    """A classifier of texts."""

    auto_classes = ("AutoModelForSequenceClassification",)
