"""README.md of an export: the hub's front matter, and what a user must know to use the model."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from ftcli.config.command_line import mask_secret
from ftcli.config.schema import RunConfig, TrainerConfig
from ftcli.console.console import CONTROL
from ftcli.export.facts import Facts
from ftcli.export.usage_snippet import usage
from ftcli.plan.from_config import scaled_lr
from ftcli.storage.run_files import read_record, read_text

MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~$&^])")
PATH = re.compile(r"(?<![\w.~/])(?!//)(?:~[\w.-]*)?/[^\s,'\"()\[\]{}]+")
BREAKS = re.compile(rf"[\t\n]|{CONTROL.pattern}")
ADDRESS = re.compile(r"://\S*|\bwww\.\S*|(?<=[\w.+-])@(?=\S{0,255}\.)\S*", re.IGNORECASE)
"""Where GitHub's Markdown sees a link in plain text: behind a scheme, from `www.`, from an `@` with a domain (its
specification, "Autolinks (extension)")."""
WORD_JOINER = "\u2060"
SHOWN_LABELS = 50


def card(facts: Facts) -> str:
    """Returns the model card as Markdown; nothing of it is markup of the data's."""
    recorded = _read(facts.run.data_json)
    result = _read(facts.run.result_json)
    parts = [
        _front_matter(facts, result),
        f"# {plain(facts.final.name)}\n\n{_opening(facts)}",
        "## Use\n\n" + usage(facts) + _where(facts, recorded),
        "## Data\n\n" + _data(recorded),
        "## Figures\n\n" + _figures(result),
        "## Training\n\n" + _training(facts, result),
        "## Proof\n\n" + _proof(facts),
        "## Limits\n\n" + _limits(facts),
    ]
    return "\n\n".join(parts) + "\n"


def plain(value: object) -> str:
    """Returns text that Markdown shows as it is: one line, no markup, no HTML, no address that becomes a link."""
    return MARKUP.sub(r"\\\1", ADDRESS.sub(_no_link, BREAKS.sub(" ", str(value))))


def _no_link(found: re.Match[str]) -> str:
    """Returns an address with an invisible sign before all that viewers recognise it by."""
    return re.sub(r"(?=://|[.@])", WORD_JOINER, found.group())


def _read(file: Path) -> dict[str, Any]:
    return read_record(file) if os.path.lexists(file) else {}


def _front_matter(facts: Facts, result: dict[str, Any]) -> str:
    """Returns the hub's YAML; every value is written as JSON, which YAML reads as plain values."""
    choices = facts.finished.composed.config.choices
    tag = facts.finished.inputs.task.pipeline_tag
    values: dict[str, Any] = {"library_name": "peft" if facts.kind == "adapter" else "transformers"}
    if tag:
        values["pipeline_tag"] = tag
    config = facts.finished.composed.config
    if facts.base_id:
        values["base_model"] = facts.base_id
    values["tags"] = ["ftcli", choices["peft"]] if choices["peft"] != "none" else ["ftcli"]
    published = _published_rows(config)
    if published:
        values["datasets"] = [published]
    metrics = {k: v for k, v in result.get("metrics", {}).items() if _is_figure(v)}
    if metrics and tag:
        task = {"type": tag}
        dataset = {"type": published or "local", "name": choices["data"], "split": "validation"}
        found = [{"type": name, "value": value} for name, value in metrics.items() if name != "loss"]
        results = [{"task": task, "dataset": dataset, "metrics": found}]
        values["model-index"] = [{"name": facts.final.name, "results": results}]
    # U+2028 and its like are line breaks to YAML: ensure_ascii keeps them out of the text.
    lines = [f"{key}: {json.dumps(value, ensure_ascii=True)}" for key, value in values.items()]
    return "\n".join(["---", *lines, "---"])


def _published_rows(config: RunConfig) -> str | None:
    """Returns the data set's name on the hub; None where the rows came from files of the user's."""
    local = config.data.path is not None or config.data.files.train is not None
    return None if local else config.data.id


def _opening(facts: Facts) -> str:
    config = facts.finished.composed.config
    what = {
        "plain": "All weights are here.",
        "merged": f"Trained with peft={plain(config.choices['peft'])}; the adapters are merged into the weights.",
        "adapter": f"Adapters (peft={plain(config.choices['peft'])}) and the head; the base model is {plain(facts.base)}.",
    }[facts.kind]
    return (
        f"A {plain(facts.finished.inputs.hf_config.model_type)} model fine-tuned by ftcli for "
        f"{plain(config.choices['task'])}, from {plain(_origin(facts))}. {what} "
        "The licence is that of the base model and of the data; none is recorded here."
    )


def _origin(facts: Facts) -> str:
    """Returns what the run began with; of a folder of the user's only the name, as a path is private."""
    source = facts.finished.inputs.source
    return (
        f"a folder named {source.folder.resolve().name}" if source.key == "model.path" else str(source.origin)
    )


def _where(facts: Facts, recorded: dict[str, Any]) -> str:
    """Returns where the code finds a base that has no name on the hub, and how to know it; '' for others."""
    if facts.kind != "adapter" or facts.base_id is not None:
        return ""
    known = plain(recorded.get("model", {}).get("fingerprint", "not known"))
    return (
        f"\n\nThe base model is not in this folder and has no name on the hub: put the path of your copy where the code says "
        f"{plain(facts.base)}. AutoPeftModel takes neither this folder's number of labels nor its names. Its fingerprint (sha256, as `ftcli` records it in "
        f"data.json) is {known}."
    )


def _data(recorded: dict[str, Any]) -> str:
    rows = ["| part | file | rows | sha256 |", "|---|---|---|---|"]
    for name, part in recorded.get("parts", {}).items():
        file = plain(Path(str(part["origin"])).name)
        rows.append(f"| {plain(name)} | {file} | {part['rows']:,} | {plain(part['sha256'])} |")
    labels = recorded.get("labels", [])
    if not labels:  # a task whose outputs have no names, such as a vocabulary
        return "\n".join(rows)
    more = f" and {len(labels) - SHOWN_LABELS} more" if len(labels) > SHOWN_LABELS else ""
    named = ", ".join(plain(label) for label in labels[:SHOWN_LABELS])
    return "\n".join(rows) + f"\n\nOutputs, in order: {named}{more}."


def _figures(result: dict[str, Any]) -> str:
    if not result:
        return "The run has not ended; its figures are not known."
    rows = ["| part | metric | value |", "|---|---|---|"]
    for part, key in (("validation", "metrics"), ("test", "test")):
        found = result.get(key)
        for name, value in found.items() if isinstance(found, dict) else ():
            if _is_figure(value):
                rows.append(f"| {part} | {plain(name)} | {value:.4f} |")
    said = [
        f"**{part.capitalize()}: {plain(result[key])}.** These figures are those of a constant."
        for part, key in (("validation", "collapsed"), ("test", "test_collapsed"))
        if result.get(key)
    ]
    chosen = "The validation rows chose the checkpoint, so that their figures flatter it."
    return "\n".join(rows) + "\n\n" + " ".join([chosen, *said])


def _is_figure(value: Any) -> bool:
    """Returns whether a value of result.json, which may be anybody's, is a number that a float can be."""
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max


def _training(facts: Facts, result: dict[str, Any]) -> str:
    config = facts.finished.composed.config
    recorded = _read(facts.run.environment_json)
    command = read_text(facts.run.command_txt).strip() if os.path.lexists(facts.run.command_txt) else ""
    choices = ", ".join(f"{plain(k)} {plain(v)}" for k, v in sorted(config.choices.items()))
    versions = ", ".join(f"{plain(k)} {plain(v)}" for k, v in recorded.get("packages", {}).items())
    decisions = recorded.get("decisions", {})
    lines = [
        f"- Recipe: {plain(config.recipe)}; {choices}",
        f"- Checkpoint: {plain(facts.finished.origin.rpartition('(')[2].rstrip(')'))}; steps in all: {_count(result.get('steps'))}",
        f"- lr {scaled_lr(config):g}, weight decay {config.optimizer.weight_decay:g}, {_batch(config.trainer)}, seed {config.seed}",
        f"- Parameters trained: {_count(result.get('trainable_parameters'))} of {_count(result.get('total_parameters'))}",
        f"- Precision {plain(decisions.get('precision', '?'))}, attention {plain(decisions.get('attention', '?'))}, device {plain(decisions.get('device', '?'))}",
        f"- Versions: ftcli {plain(recorded.get('ftcli', '?'))}, {versions}",
    ]
    return "\n".join(lines) + f"\n\n{_code(mask_secret(_without_paths(command)))}"


def _without_paths(command: str) -> str:
    """Returns the command with `.../NAME` for every absolute path: where files lay is private."""
    try:
        return shlex.join(_shortened(word) for word in shlex.split(command))
    except ValueError:  # a quote that is not closed: not what a run wrote
        return "not known: command.txt is no command"


def _shortened(word: str) -> str:
    key, sign, value = word.partition("=") if not word.startswith(("/", "~")) else ("", "", word)
    value = value.strip("'\"")
    # A path that is the whole value may hold spaces.
    if value.startswith(("/", "~")) and (name := Path(value).name):
        return f"{key}{sign}.../{name}"
    return without_paths(word)


def without_paths(text: str) -> str:
    """Returns a text with `.../NAME` for every absolute path that stands in it; addresses of the web stay."""
    return PATH.sub(lambda found: ".../" + found.group().rstrip("/").rpartition("/")[2], text)


def _batch(trainer: TrainerConfig) -> str:
    if trainer.token_budget is not None:
        return f"batches of at most {trainer.token_budget} padded tokens"
    return f"batch {trainer.batch_size}"


def _code(text: str) -> str:
    """Returns a fenced block of shell words; the fence is longer than any run of backticks inside."""
    text = BREAKS.sub(" ", text)
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{text}\n{fence}"


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else "not known"


def _proof(facts: Facts) -> str:
    proved = facts.proved
    rows = ["| run with | largest difference | allowed | outputs |", "|---|---|---|---|"]
    for one in proved["passes"]:
        rows.append(f"| {one['name']} | {one['worst']:.1e} | {one['tolerance']:.2g} | {one['compared']:,} |")
    said = (
        "After writing, a fresh process loaded this folder with plain transformers"
        + (" and peft" if facts.kind == "adapter" else "")
        + f" and answered {plain(without_paths(proved['inputs']))}; differences are divided by max(1, \\|logit\\|). "
        "Nothing was missing, left over or newly initialised."
    )
    texts = f"\n\nThe tokenizer of this folder gave {proved['texts']} of these texts the run's tokens." if proved["texts"] else ""  # fmt: skip
    if proved["prompts"]:
        texts += f"\n\nIt went on with {proved['prompts']} prompts as the run did, token by token, by plain `generate`."
    return f"{said}\n\n" + "\n".join(rows) + texts


def _limits(facts: Facts) -> str:
    lines = [f"- {sentence}" for sentence in facts.finished.inputs.tokenizer.limits()]
    if facts.made.last_column:
        lines.append("- One row at a time, without padding: with soft prompts, plain peft reads this classifier's answer off the last column of a batch, PAD or not. It was compared in this way only.")  # fmt: skip
    if facts.made.dtype != "float32":
        lines.append(f"- The weights are rounded to {facts.made.dtype}: scores are not those of the run to the last digit.")  # fmt: skip
    if facts.finished.labels:
        lines.append(
            "- It knows the outputs above and nothing else: a row that fits none of them still gets one."
        )
    lines.append("- Not tested on other domains or languages than the data's, nor for fairness or adversarial rows.")  # fmt: skip
    return "\n".join(lines)
