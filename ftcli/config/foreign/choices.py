"""Choices, metrics and commands of other tools -> ours.

Tables of names, and the two groups whose foreign names are open-ended: a model or a data set may be a file, a folder
or any id of the hub.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from ftcli.config.bundled import conf_files
from ftcli.config.regular_file import is_folder
from ftcli.errors import nearest, typed_words

Typed = Mapping[str, str]
"""Keys (lower case, underscores) and values of the whole command: some conversions need two words."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What to type instead of a word of another tool."""

    words: tuple[str, ...] = ()
    """Shell words that compose as they stand; empty where nothing here does what was asked."""
    note: str = ""
    """What else to know; the whole answer where there are no words."""
    needs: str = ""
    """Choice under which the words exist, such as `peft=lora`; typed too unless the run has it already."""

    def hint(self, known: Collection[str] = (), typed: Typed | None = None) -> str:
        """Returns the line below a problem, such as `type optimizer.lr=5e-5`, quoted for a shell.

        Args:
            known: our keys under the choices of the run.
            typed: the other words of the command.
        """
        if not self.words:
            return self.note
        shown = typed_words(*self._complete(known, typed or {}))
        return f"type {shown}" + (f" ({self.note})" if self.note else "")

    def _complete(self, known: Collection[str], typed: Typed) -> tuple[str, ...]:
        if self.needs == "data=text":  # every choice of `data` has these keys; one that was chosen stays
            present = bool({"data", "recipe"} & typed.keys())
        else:
            present = all(word.partition("=")[0] in known for word in self.words)
        return self.words if present or not self.needs else (self.needs, *self.words)


_NO_LANGUAGE_MODEL = Answer(note="there is no language-model task; ftcli list task names what there is")
_NO_QUANTIZATION = Answer(("peft=lora",), "on the unquantized base: there is no quantized training")
_TWO_OPTIMIZERS = Answer(("optimizer=adamw",), "there are adamw and sgd")
_NO_STEP_DECAY = Answer(
    note="there is no step decay: type scheduler=cosine, or write a schedule with an lr in each phase"
)
_NO_SUCH_LOGGER = Answer(
    ("logger=tensorboard",), "there is no such logger; programs read metrics.jsonl of the run"
)

_CHOICES: dict[str, dict[str | Answer, str]] = {
    "task": {
        "sequence-classification": """text-classification classification classifier sentiment sentiment-analysis seq-cls
            sequence-cls cls nli single-label-classification multiclass multi-class binary text-cls textcat
            text-pair-classification auto-model-for-sequence-classification""",
        "token-classification": """ner token-cls tagging pos pos-tagging tagger named-entity-recognition
            sequence-labeling sequence-tagging chunking auto-model-for-token-classification""",
        "extractive-qa": "question-answering qa question-ans squad reading-comprehension",
        "multi-label": "multilabel multi-label-classification multilabel-classification textcat-multilabel",
        "regression": "sts similarity text-similarity text-regression",
        "multiple-choice": "mc mcq swag",
        "image-classification": "image-cls vision",
        _NO_LANGUAGE_MODEL: """causal-lm clm sft pt language-modeling text-generation text2text-generation seq2seq
            seq-2-seq-lm summarization translation mlm fill-mask dpo ppo rm kto orpo grpo pretraining""",
    },
    "optimizer": {
        "adamw": "adam adam-w adamw-torch adamw-torch-fused adamw-hf fused-adam adamw-apex-fused",
        _TWO_OPTIMIZERS: """adamw-8bit adamw-bnb-8bit paged-adamw paged-adamw-8bit paged-adamw-32bit adafactor lion
            lion-8bit adagrad rmsprop nadam radam lamb muon sophia galore-adamw""",
    },
    "scheduler": {
        "linear": "linear-with-warmup warmup-linear linear-decay slanted-triangular linearlr",
        "cosine": "cosine-with-warmup cosine-annealing cosineannealinglr cosine-decay cosine-with-min-lr",
        "cosine-restarts": "cosine-with-restarts cosine-with-hard-restarts cosineannealingwarmrestarts",
        "polynomial": "poly polynomial-decay polynomiallr",
        "plateau": "reduce-lr-on-plateau reducelronplateau",
        "one-cycle": "onecycle onecyclelr 1cycle",
        "warmup-stable-decay": "wsd",
        "inverse-sqrt": "rsqrt noam",
        "constant": "none constantlr",
        Answer(
            ("scheduler=constant",), "and its warmup, such as scheduler.warmup=100st"
        ): "constant-with-warmup",
        _NO_STEP_DECAY: "step steplr multi-step multisteplr exponential exponentiallr",
    },
    "peft": {
        "rslora": "rs-lora",
        "lora-plus": "lora+ loraplus",
        "bottleneck-houlsby": "adapter adapters houlsby bottleneck",
        "bottleneck-pfeiffer": "pfeiffer",
        "p-tuning": "ptuning",
        "prefix-tuning": "prefix p-tuning-v2",
        "prompt-tuning": "prompt soft-prompt soft-prompts",
        "layernorm-tuning": "ln-tuning norm-fit",
        _NO_QUANTIZATION: "qlora loftq",
        Answer(("peft=none", "freezing=none"), "which is the default"): "full full-finetuning fft",
        Answer(("freezing=bias-only",)): "bitfit bit-fit",
        Answer(("freezing=head-only",)): "linear-probe linear-probing",
        Answer(("freezing=bottom-layers",), "freezing.num_layers=N says how many blocks"): "freeze",
    },
    "freezing": {
        "none": "full all unfrozen false",
        "head-only": "head classifier linear-probe linear-probing backbone encoder base feature-extraction",
        "bias-only": "bitfit bit-fit bias biases",
        "gradual": "gradual-unfreezing unfreezing ulmfit",
        "bottom-layers": "freeze layers bottom",
        "embeddings": "embedding",
        "patterns": "regex regexes",
        "schedule": "finetuning-scheduler fts ft-schedule",
        Answer(("peft=lora",)): "lora",
    },
    "model": {
        "bert-base": "bert",
        "roberta-base": "roberta",
        "deberta-v3-base": "deberta deberta-v3",
        "electra-small": "electra",
        "vit-base": "vit",
        "gpt2": "gpt-2 gpt2-small",
        "distilbert": "distilbert-base",
        "minilm": "all-minilm minilm-l6",
        "local": "custom folder own",
    },
    "data": {
        "text": "csv tsv json jsonl parquet local custom",
        "sst2": "sst-2",
        "stsb": "sts-b",
        "wnut17": "wnut-17 wnut",
        "images": "imagefolder image-folder",
        "squad": "squad-v1 squad1.1",
        Answer(
            ("data=squad", "data.id=rajpurkar/squad_v2", "task=extractive-qa", "task.null_threshold=0")
        ): "squad-v2",
        Answer(("data=text", "data.format=conll"), "and data.files.train=FILE"): "conll",
    },
    "tokenizer": {"auto": "fast default", "processor": "image-processor feature-extractor"},
    "logger": {
        "jsonl": "none csv json",
        "tensorboard": "tb all",
        _NO_SUCH_LOGGER: "wandb mlflow comet comet-ml neptune clearml swanlab dvclive",
    },
}
"""Role -> our choice, or what to type where none of that role is meant -> other tools' names of it."""

_METRICS = {
    "accuracy": "acc top-1-accuracy categorical-accuracy",
    "balanced-accuracy": "balanced-acc",
    "f1": "f1-macro macro-f1 f1-score",
    "f1@micro": "f1-micro micro-f1",
    "precision": "precision-macro",
    "recall": "recall-macro",
    "mcc": "matthews matthews-correlation matthews-corrcoef",
    "auroc": "auc roc-auc roc-auc-score rocauc",
    "log-loss": "cross-entropy nll logloss",
    "ece": "calibration-error",
    "span-f1": "seqeval overall-f1 entity-f1 ner-f1 ents-f",
    "exact-match": "em",
    "answer-f1": "qa-f1 squad",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
    "mse": "mean-squared-error",
    "r2": "r2-score",
    "map@3": "map3",
}
"""Our metric -> other tools' names of it."""

_COMMANDS = {
    "ftcli train": "fit finetune fine-tune tune run sft",
    "ftcli train 'seeds=[1,2,3]'": "ensemble",
    "ftcli evaluate RUN": "eval test validate score benchmark",
    "ftcli predict RUN --input FILE --output FILE": "infer inference classify apply",
    "ftcli export RUN DIR": "save package convert",
    "ftcli export RUN DIR --merge": "merge merge-lora merge-adapter",
    "ftcli export RUN DIR --push ID": "push upload",
    "ftcli explain": "plan info summary",
    "ftcli check-data": "preprocess check debug validate-data",
    "ftcli doctor": "env version",
    "ftcli runs": "ls experiments history",
    "ftcli resume RUN": "continue restart",
    "ftcli overfit-batch": "overfit",
    "ftcli generate-schedule -o FILE": "schedule",
    "ftcli compare RUN RUN": "diff",
    "ftcli list": "models recipes tasks",
}
"""Our command -> other tools' names of it."""

_OF_THE_HUB = "from the hub; model=minilm comes as a package"

_TABLE_FILES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
_TAGGED_FILES = (".conll", ".bio", ".iob", ".iob2")


def slug(value: str) -> str:
    """Returns a name in lower case with hyphens, as our choices are written."""
    return value.strip().strip("'\"").lower().replace("_", "-").replace(" ", "-")


def answer_choice(role: str, value: str, typed: Typed, *, near: bool = True) -> Answer | None:
    """Returns what to type for a choice that a group does not have.

    Args:
        role: such as `task`.
        value: as typed.
        typed: the other words of the command.
        near: offer the nearest choices beside a name of the hub, which may be a misspelt choice.

    Returns:
        None where only the nearest name can be offered.
    """
    name, known = slug(value), conf_files(role)
    if name in known:
        return _named(role, name)
    for choice, others in _CHOICES.get(role, {}).items():
        if name in others.split():
            return choice if isinstance(choice, Answer) else _named(role, choice)
    if role in ("data", "model") and name:
        answer = _data(value, typed) if role == "data" else _model(value)
        plain = near and len(answer.words) > 1 and not re.search(r"[/.]", value)
        misspelt = nearest(value, known) if plain else []
        return _or_nearest(answer, misspelt) if misspelt else answer
    return None


def _named(role: str, choice: str) -> Answer:
    """Returns the word of a choice; of a model also where it comes from, as the hub may be out of reach."""
    of_hub = role == "model" and choice not in ("minilm", "local")
    return Answer((f"{role}={choice}",), _OF_THE_HUB if of_hub else "")


def is_choice(role: str, value: str) -> bool:
    """Returns whether a word alone names a choice of a role, in our spelling or another tool's."""
    names = {name for others in _CHOICES.get(role, {}).values() for name in others.split()}
    by_id = role == "model" and value.lower() in _choice_of_id(role)
    return slug(value) in names or slug(value) in conf_files(role) or by_id


def is_data_file(value: str) -> bool:
    """Returns whether a word looks like a file of rows."""
    return Path(value).suffix.lower() in _TABLE_FILES + _TAGGED_FILES


def metric_name(name: str) -> str | None:
    """Returns our name of a figure such as `eval_f1_macro`, or None where it has no other name."""
    short = re.sub(r"^(eval|val|valid|validation|dev|test)-(?=.)", "", slug(name))
    ours = next((own for own, others in _METRICS.items() if short in others.split()), short)
    return None if ours == name else ours


def command_for(name: str) -> str | None:
    """Returns our command for another tool's, None where only the nearest name can be offered."""
    return next((own for own, others in _COMMANDS.items() if slug(name) in others.split()), None)


def _or_nearest(answer: Answer, near: list[str]) -> Answer:
    """Returns the answer for a bare name that may also be a misspelt choice."""
    shown = typed_words(*answer.words)
    return Answer(note=f"did you mean {' or '.join(near)}? for a name of the hub type {shown}")


def _data(value: str, typed: Typed) -> Answer:
    """A file, a folder, a GLUE task or the hub id of a choice, else any hub id."""
    suffix = Path(value).suffix.lower()
    if suffix in _TAGGED_FILES:
        return Answer(("data=text", "data.format=conll", f"data.files.train={value}"))
    if suffix in _TABLE_FILES:
        return Answer(("data=text", f"data.files.train={value}"))
    if _is_folder(value):
        return Answer(("data=text", f"data.path={value}"))
    subset = next(
        (typed[key] for key in ("dataset_config_name", "dataset_config", "subset") if typed.get(key)), ""
    )
    group, _, inner = value.partition("/")
    if slug(group) in ("glue", "super-glue"):
        value, subset = "nyu-mll/glue" if slug(group) == "glue" else "aps/super_glue", inner or subset
    if choice := _choice_of_id("data").get(f"{value} {subset}".strip().lower()):
        return Answer((f"data={choice}",))
    if slug(group).endswith("glue") and slug(subset) in conf_files("data"):
        return Answer((f"data={slug(subset)}",))
    words = ("data=text", f"data.id={value}", *((f"data.subset={subset}",) if subset else ()))
    return Answer(words, "data.columns.text=... and data.columns.label=... name its columns")


def _model(value: str) -> Answer:
    """A folder, the hub id of a choice, else any hub id."""
    if _is_folder(value):
        return Answer(("model=local", f"model.path={value}"))
    if choice := _choice_of_id("model").get(value.lower()):
        return _named("model", choice)
    return Answer(("model=local", f"model.id={value}"))


def _is_folder(value: str) -> bool:
    return value.startswith((".", "/", "~")) or value.endswith("/") or is_folder(value)


@lru_cache
def _choice_of_id(role: str) -> dict[str, str]:
    """Returns `id` or `id subset` of the YAML files of a role, whole and without its owner, in lower case -> choice."""
    found: dict[str, str] = {}
    for choice, file in conf_files(role).items():
        stated = DictConfig(OmegaConf.load(file))
        name = f"{stated.get('id') or ''} {stated.get('subset') or ''}".strip().lower()
        found |= {name: choice, name.rpartition("/")[2]: choice} if name else {}
    return found
