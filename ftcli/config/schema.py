"""The typed configuration of a run: one base class a role, joined in `RunConfig`.

Plain dataclasses without torch, so that composing and checking a configuration is quick. A choice
(`ftcli/<role>/<choice>.py`) subclasses its role's base and adds its own fields.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, ClassVar

from ftcli.config.fields import COUNT, NOT_NEGATIVE, POSITIVE, RECORDED, SEED, SHARE, Bounds
from ftcli.errors import Problem

ROLES = (
    "model",
    "tokenizer",
    "data",
    "task",
    "freezing",
    "peft",
    "optimizer",
    "scheduler",
    "logger",
    "trainer",
)
"""Hydra groups, in the order they are printed. One word names a role everywhere."""

DATA_CHECKS = ("empty-rows", "broken-encoding", "contradictory-labels", "duplicates", "overlap", "near-overlap", "balance",
               "class-missing", "imbalance", "one-class", "label-shift", "lengths", "truncation", "unknown-tokens", "special-tokens",
               "equal-choices", "label-twins", "label-structure", "label-separator", "label-brackets", "label-spaces", "first-words",
               "ids-from-one", "tags", "words-without-tokens", "vocabulary", "targets", "pixels", "blank-images", "padding", "pad", "causal-mask", "attention")  # fmt: skip
"""Names of the findings of the data contract; `data.accept` lists those that do not end a run."""


class Weights(Enum):
    pretrained = "pretrained"
    random = "random"


class Attention(Enum):
    auto = "auto"
    eager = "eager"
    sdpa = "sdpa"


class Dtype(Enum):
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class Precision(Enum):
    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class Device(Enum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Overlength(Enum):
    truncate = "truncate"
    drop = "drop"
    error = "error"


class LayerwiseKind(Enum):
    none = "none"
    geometric = "geometric"
    cosine = "cosine"
    table = "table"


class MicroBatch(Enum):
    auto = "auto"


class PrefixCaching(Enum):
    auto = "auto"
    disk = "disk"
    off = "off"


class Mode(Enum):
    auto = "auto"
    min = "min"
    max = "max"


@dataclass(kw_only=True, slots=True)
class RoleConfig:
    """Base of every role's configuration."""

    def problems(self) -> list[Problem]:
        """Returns the values out of range that can be seen without a model, rows or other roles."""
        return []


@dataclass(kw_only=True, slots=True)
class PublishedConfig:
    """How the model's authors fine-tuned it: for `optimizer.scale_lr`, and to say where a run departs."""

    optimizer: str | None = None
    """Choice of the optimizer group that comes nearest."""
    lr: Annotated[float | None, NOT_NEGATIVE] = None
    """Learning rate, the middle one where a range is given."""
    batch_size: Annotated[int | None, COUNT] = None
    """Rows an optimizer step."""


@dataclass(kw_only=True, slots=True)
class ModelConfig(RoleConfig):
    path: str | None = None
    """Local folder, or a config.json when weights=random. Wins over `id`."""
    id: str | None = None
    """Hub id, such as `gpt2`; needs a network once, then the hub's local cache serves."""
    package: str | None = None
    """Installed Python package whose files hold the model, read as data; wins over `id`."""
    revision: str | None = None
    """Branch, tag or commit on the hub. None: the default branch."""
    weights: Weights = Weights.pretrained
    """`random` builds the architecture from config.json alone."""
    dtype: Dtype = Dtype.float32
    """Storage of the weights. Half precision is refused for anything that trains."""
    dropout: Annotated[float | None, SHARE] = None
    """Probability in [0, 1) set in all of the architecture's dropout fields. None keeps its own."""
    attention: Attention = Attention.auto
    """Attention kernel. `auto` is decided by a rule of device and length, printed and recorded."""
    published: PublishedConfig = field(default_factory=PublishedConfig)
    """The published recipe of the model, its source in the YAML."""


@dataclass(kw_only=True, slots=True)
class TokenizerConfig(RoleConfig):
    takes: ClassVar[str] = "texts"
    """What the rows must hold: `texts` or `images`."""
    overlength: Overlength | None = None
    """What becomes of rows longer than max_length: `truncate` cuts them, `drop` leaves them out of
    training, `error` refuses them. None: cut, but refused where more than a tenth of the rows are."""
    max_length: Annotated[int | None, COUNT] = None
    """Tokens a row, special tokens included. None: the model's positions, 512 at most."""


@dataclass(kw_only=True, slots=True)
class FilesConfig:
    train: str | None = None
    """tsv, csv, json, jsonl, parquet, conll or conllu file, compressed (gz, bz2, xz, zip, zst) or not."""
    validation: str | None = None
    """As `train`."""
    test: str | None = None
    """As `train`; scored once, at the end, when it has labels."""


@dataclass(kw_only=True, slots=True)
class ColumnsConfig:
    text: str = "text"
    """Column of the text, or of the first text of a pair."""
    text_pair: str | None = None
    """Column of the second text of a pair. None: single texts."""
    image: str = "image"
    """Column of the image, a path, in a file to predict."""
    label: str = "label"
    """Column of the label."""
    choices: list[str] = field(default_factory=list)
    """Of a multiple choice: the column with the list of choices, or a column for each."""
    choice_names: str | None = None
    """Column with the list of the choices' names. None: A, B, C, ..."""


@dataclass(kw_only=True, slots=True)
class DataConfig(RoleConfig):
    holds: ClassVar[str] = "texts"
    """`texts` or `images`."""
    path: str | None = None
    """Local folder with train/validation/dev/test files found by name. Wins over `id`."""
    id: str | None = None
    """Hub data set id."""
    subset: str | None = None
    """Configuration name of the hub data set, such as `sst2` of `glue`."""
    files: FilesConfig = field(default_factory=FilesConfig)
    """Single files; each wins over what `path` or `id` would give."""
    columns: ColumnsConfig = field(default_factory=ColumnsConfig)
    """Which column means what."""
    label_names: list[str] | None = None
    """Names of the label ids 0, 1, ... None: learned from the data."""
    limit_train: Annotated[int | None, COUNT] = None
    """Rows used for training, drawn by seed. None: all."""
    limit_validation: Annotated[int | None, COUNT] = None
    """Rows used for validation, drawn by seed. None: all."""
    seed: Annotated[int | None, SEED] = None
    """Draws the rows of a limit. None: the run's seed; the members of an ensemble share their parent's."""
    accept: list[str] = field(default_factory=list)
    """Errors of `ftcli check-data` that shall not end a run, by name, such as overlap."""
    validation_share: Annotated[float | None, Bounds(0, 0.5, above=True)] = None
    """Share in (0, 0.5] of the training rows held out, stratified by label and chosen by content
    hash, when there is no validation part."""


@dataclass(kw_only=True, slots=True)
class TaskConfig(RoleConfig):
    num_labels: Annotated[int | None, Bounds(2, 100_000)] = None
    """Classes, 100,000 at most. None: learned from the training labels."""
    labels_from: Annotated[int | None, Bounds(0, 1)] = None
    """First of the ids, where labels are ids of `data.label_names` or `num_labels` is set: 0 or 1. None: 0, and a warning where it may be 1."""
    label_smoothing: Annotated[float, SHARE] = 0.0
    """Share in [0, 1) of the target spread over all classes."""
    metrics: list[str] = field(default_factory=lambda: ["accuracy"])
    """Names of files in ftcli/metric."""


@dataclass(kw_only=True, slots=True)
class FreezingConfig(RoleConfig):
    """Fields are those of the choice."""


@dataclass(kw_only=True, slots=True)
class PeftConfig(RoleConfig):
    """Fields are those of the choice."""

    uncheckpointed: ClassVar[str] = ""
    """Why gradient checkpointing does not go with the choice; empty where it does."""

    @property
    def num_positions(self) -> int:
        """Positions of the model that the method takes from the rows."""
        return 0


@dataclass(kw_only=True, slots=True)
class LayerwiseConfig:
    kind: LayerwiseKind = LayerwiseKind.none
    """How the lr falls from the head to the embeddings."""
    decay: float | None = None
    """geometric: factor in (0, 1] from one block to the one below, None: 0.8; cosine: the share of
    the lr that is left to the embeddings, None: 0.1."""
    head_multiplier: float = 1.0
    """Factor on the head's lr."""
    table: list[str] = field(default_factory=list)
    """table: `GROUP: MULTIPLIER` entries, such as `layers[0:6]: 0.1`; what they do not name has 1."""


@dataclass(kw_only=True, slots=True)
class OptimizerConfig(RoleConfig):
    lr: float = 5e-5
    """Peak learning rate."""
    weight_decay: float = 0.01
    """Decoupled weight decay of the groups that decay."""
    no_decay: list[str] = field(default_factory=lambda: ["biases", "norms"])
    """What gets no weight decay: `biases`, `norms` (by module type) or full-match regexes of names."""
    layerwise: LayerwiseConfig = field(default_factory=LayerwiseConfig)
    """Learning rates by depth, as multipliers of `lr`."""
    scale_lr: bool = False
    """Take the model's published lr, scaled linearly from its published batch size to
    trainer.batch_size, instead of `lr`."""

    @property
    def state_slots(self) -> int | None:
        """fp32 values that the optimizer keeps for each parameter. None: not known."""
        return None


@dataclass(kw_only=True, slots=True)
class SchedulerConfig(RoleConfig):
    warmup: str = "0"
    """`100st` steps, `1ep` epochs, or a share of all steps such as `0.1`."""
    total_steps: Annotated[int | None, COUNT] = None
    """Length of the curve in steps. None: the run's own length. A pinned curve outlives a resume."""


@dataclass(kw_only=True, slots=True)
class LoggerConfig(RoleConfig):
    """Fields are those of the choice."""


@dataclass(kw_only=True, slots=True)
class TrainerConfig(RoleConfig):
    epochs: Annotated[float, Bounds(0, 1_000_000, above=True), RECORDED] = 3.0
    """Passes over the training rows, 1,000,000 at most; a fraction is allowed."""
    max_steps: Annotated[int | None, COUNT, RECORDED] = None
    """Optimizer steps; ends the run earlier than `epochs` when smaller."""
    batch_size: Annotated[int, COUNT] = 32
    """Rows an optimizer step; does not count where `token_budget` is set."""
    token_budget: Annotated[int | None, COUNT] = None
    """Most padded tokens an optimizer step, rows x the longest of them, instead of `batch_size` rows. Every
    epoch has the same number of steps. None: `batch_size` decides."""
    micro_batch_size: Annotated[int | MicroBatch | None, COUNT] = None
    """Rows a forward pass. None: the whole batch. `auto`: on CUDA the largest half, quarter, eighth ... of it that
    fits in memory, tried on the longest rows before step one; the whole batch elsewhere. Only splits the batch."""
    eval_batch_size: Annotated[int, COUNT] = 64
    """Rows a forward pass of an evaluation."""
    precision: Precision = Precision.auto
    """`auto`: bf16 where the hardware multiplies it natively, else fp32. fp16: fp32 weights,
    autocast and a gradient scaler."""
    device: Device = Device.auto
    """`auto`: cuda, then mps, then cpu."""
    threads: Annotated[int | None, Bounds(1, 1024)] = None
    """CPU threads, 1,024 at most. None: torch's own choice; recorded, and set again by a resume."""
    max_grad_norm: Annotated[float | None, POSITIVE] = 1.0
    """Gradients are scaled down to this global L2 norm. None: no clipping."""
    gradient_checkpointing: bool = False
    """Recompute activations in backward: less memory, more time."""
    fast_paths: bool = True
    """On the CPU: the top block for the first token alone where the head reads no other, masks of dropout layers from whole
    random words, gradients of large embedding tables as the rows a step touches. False: the reference of all three."""
    prefix_cache: PrefixCaching = PrefixCaching.auto
    """Activations of frozen lower layers. `auto`: computed once and kept in memory, else in files under the cache
    folder, where at least two epochs read them; `disk`: always in files, which later runs read again; `off`:
    computed in every step."""
    prefix_cache_gib: Annotated[float, POSITIVE] = 8.0
    """Most such activations kept at a time, in GiB (2^30 bytes), above 0; what needs more is computed in every step.
    A run that writes files removes those not read for longest until all in the folder keep to it."""
    log_every_n_steps: Annotated[int, COUNT, RECORDED] = 10
    """Steps between lines in metrics.jsonl."""
    eval_every_n_steps: Annotated[int | None, COUNT, RECORDED] = None
    """Steps between evaluations. None: at the end of each epoch."""
    save_every_n_steps: Annotated[int | None, COUNT, RECORDED] = None
    """Steps between checkpoints beside those of evaluations. None: only at evaluations."""
    keep_checkpoints: Annotated[int, COUNT, RECORDED] = 2
    """Newest checkpoints kept; the best is kept besides."""
    monitor: str | None = None
    """Validation figure that decides best and early stopping. None: the task's first metric."""
    mode: Mode = Mode.auto
    """Direction of `monitor`. `auto`: known by the metric."""
    patience: Annotated[int | None, COUNT, RECORDED] = None
    """Evaluations without improvement before stopping. None: no early stopping."""
    min_delta: Annotated[float, NOT_NEGATIVE, RECORDED] = 0.0
    """Smallest change of `monitor` that counts as an improvement."""

    @property
    def stated_micro_batch(self) -> int | None:
        """`micro_batch_size` where it is a number."""
        return self.micro_batch_size if isinstance(self.micro_batch_size, int) else None


@dataclass(kw_only=True, slots=True)
class RunConfig:
    """Everything a run is made of; `choices` says which choice fills each role."""

    recipe: str
    seed: int
    model: ModelConfig
    tokenizer: TokenizerConfig
    data: DataConfig
    task: TaskConfig
    freezing: FreezingConfig
    peft: PeftConfig
    optimizer: OptimizerConfig
    scheduler: SchedulerConfig
    logger: LoggerConfig
    trainer: TrainerConfig
    choices: dict[str, str]
    """Role -> choice, such as `optimizer: adamw`."""
    uses: dict[str, str]
    """Role -> module that builds it; differs from the choice where several share a builder."""
    seeds: list[int] = field(default_factory=list)
    """Seeds of the members of an ensemble; empty: one run, of `seed`."""
