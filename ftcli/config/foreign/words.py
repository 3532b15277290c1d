"""Words of other tools -> the words to type here, with their values converted.

One table of the settings that people know from the Hugging Face Trainer (TrainingArguments and the example scripts),
peft, TRL, LLaMA-Factory, axolotl, Lightning, finetuning-scheduler, AutoGluon, Keras and spaCy. An exact entry is a
better answer than the nearest string: `lr` looks like `logger`. What does not exist here is said so, with what
there is instead. Read only after a word was not understood.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ftcli.config.foreign import settings as to
from ftcli.config.foreign.batch import accumulation, batch, micro_batch, token_budget
from ftcli.config.foreign.choices import (
    Answer,
    Typed,
    answer_choice,
    command_for,
    is_choice,
    is_data_file,
    metric_name,
)
from ftcli.config.foreign.values import (
    COUNT,
    INDEX,
    NOT_NEGATIVE,
    POSITIVE,
    PROBABILITY,
    SHARE,
    Rule,
    absent,
    boolean,
    choice,
    names,
    renamed,
    steps,
    switch,
)
from ftcli.config.own_keys import base_keys
from ftcli.config.schema import ROLES
from ftcli.errors import did_you_mean

_ALWAYS_BEST = "leave it out: the best checkpoint is always kept and scored at the end"
_ONE_PROCESS = "training is one process on one device"
_NO_QUANTIZATION = "there is no quantized training; peft=lora trains adapters on the unquantized base"
_NO_WORKERS = "leave it out: rows are tokenized once into a table in memory, there are no worker processes"
_PUSH = "after the run type ftcli export RUN DIR --push ID"
_HEAD = "leave it out: the new head trains beside the adapters and is saved with them"
_SCHEDULE = "type recipe=head-then-all, or write phases: ftcli generate-schedule -o FILE, then freezing=schedule freezing.file=FILE"
_FROZEN = """freezing freeze_backbone freeze_encoder freeze_base freeze_base_model freeze_embeddings gradual_unfreezing
    freeze_trainable_layers freeze_layers num_frozen_layers unfrozen_parameters ft_schedule"""
_HEAD_ONLY, _ALL_TRAIN = Answer(("freezing=head-only",)), Answer(("freezing=none",))

_RULES: list[tuple[str, Rule]] = [
    # optimizer and scheduler
    ("lr learning_rate learn_rate max_lr peak_lr base_lr base_max_lr initial_lr", renamed("optimizer.lr", POSITIVE)),
    ("weight_decay wd", renamed("optimizer.weight_decay", NOT_NEGATIVE, none="0")),
    ("adam_beta1 adam_beta2", to.single_beta),
    ("betas adam_betas", to.betas),
    ("eps epsilon adam_eps adam_epsilon", renamed("optimizer.eps", POSITIVE, needs="optimizer=adamw")),
    ("momentum sgd_momentum", renamed("optimizer.momentum", PROBABILITY, needs="optimizer=sgd", none="0")),
    ("optim optim_type optimizer_type optimizer_name optimizer.name opt", choice("optimizer")),
    ("lr_scheduler_type lr_scheduler lr_schedule scheduler_type scheduler_name", choice("scheduler")),
    ("warmup_ratio warmup_proportion warmup_fraction", renamed("scheduler.warmup", SHARE, none="0")),
    ("warmup_steps num_warmup_steps warmup", to.warmup),
    ("warmup_epochs", to.warmup_epochs),
    ("scheduler.patience scheduler.early_stopping_patience", renamed("scheduler.patience", INDEX, needs="scheduler=plateau")),
    ("num_training_steps scheduler.max_steps scheduler.num_steps", renamed("scheduler.total_steps", COUNT, none="null", off_below=1)),
    ("max_grad_norm gradient_clip_val grad_clip clip_grad_norm gradient_clipping clipnorm global_clipnorm",
     renamed("trainer.max_grad_norm", POSITIVE, none="null", off_below=1e-12)),
    ("layerwise_lr_decay layer_wise_lr_decay layer_decay lr_layer_decay llrd lr_decay", to.layerwise),
    ("head_lr head_learning_rate classifier_lr lr_mult",
     absent("optimizer.layerwise.head_multiplier=M makes the head's rate M times optimizer.lr")),
    ("lora_plus_ratio loraplus_lr_ratio", renamed("peft.lora_plus_ratio", POSITIVE, needs="peft=lora-plus", none="null")),
    ("use_galore use_badam use_apollo", absent("there are the optimizers adamw and sgd")),
    # length of a run, batches
    ("epochs epoch num_epochs n_epochs max_epochs num_train_epochs", renamed("trainer.epochs", POSITIVE)),
    ("max_steps max_iters total_steps num_steps", renamed("trainer.max_steps", COUNT, none="null", off_below=1)),
    ("per_device_train_batch_size per_gpu_train_batch_size per_gpu_batch_size train_batch_size batch_size bs", batch),
    ("gradient_accumulation_steps gradient_accumulation grad_accumulation_steps accumulation_steps accumulate_grad_batches", accumulation),
    ("micro_batch_size", micro_batch),
    ("per_device_eval_batch_size per_gpu_eval_batch_size val_batch_size", renamed("trainer.eval_batch_size", COUNT)),
    ("auto_find_batch_size auto_scale_batch_size", switch(Answer(("trainer.micro_batch_size=auto",)))),
    ("max_tokens tokens_per_batch", token_budget),
    ("group_by_length train_sampling_strategy", absent("leave it out: a batch always holds rows of like length")),
    ("packing sample_packing neat_packing", absent("rows are not packed; trainer.token_budget=N limits the padded tokens of a batch")),
    ("pad_to_max_length padding pad_to_sequence_len", absent("leave it out: rows are padded to the longest of their batch")),
    # precision, device, kernels
    ("fp16 use_fp16 use_amp amp", to.half_precision("fp16")),
    ("bf16 use_bf16 pure_bf16", to.half_precision("bf16")),
    ("precision mixed_precision torch_dtype dtype", to.precision),
    ("model.torch_dtype model.precision", to.dtype),
    ("tf32", absent("there is no such setting; trainer.precision is auto, fp32, bf16 or fp16")),
    ("device accelerator gpu_id", to.device),
    ("no_cuda use_cpu",
     switch(Answer(("trainer.device=cpu",)), Answer(("trainer.device=auto",)),
            rivals="device accelerator gpu_id use_mps_device trainer.device")),
    ("use_mps_device", switch(Answer(("trainer.device=mps",)))),
    ("num_threads", renamed("trainer.threads", COUNT, none="null")),
    ("gradient_checkpointing use_gradient_checkpointing activation_checkpointing", boolean("trainer.gradient_checkpointing")),
    ("torch_compile compile", absent("there is no such setting: models are not compiled")),
    ("attn_implementation flash_attn flash_attention use_flash_attention_2", to.attention),
    ("sdp_attention xformers_attention", switch(Answer(("model.attention=sdpa",)))),
    ("dataloader_num_workers num_workers preprocessing_num_workers dataset_processes dataloader_pin_memory", absent(_NO_WORKERS)),
    ("deepspeed fsdp ddp strategy local_rank num_gpus gpus devices nproc_per_node num_nodes", absent(_ONE_PROCESS)),
    ("load_in_4bit load_in_8bit 4bit 8bit quantization quantization_bit bnb_4bit_quant_type qlora", absent(_NO_QUANTIZATION)),
    ("use_liger_kernel use_unsloth", absent("there are no such kernels; trainer.fast_paths is on by default")),
    ("neftune_noise_alpha", absent("there is no noise on embeddings; model.dropout=P sets the dropout")),
    # evaluation, checkpoints, logs
    ("eval_strategy evaluation_strategy", to.when_evaluated),
    ("eval_steps eval_frequency", steps("trainer.eval_every_n_steps", none="null")),
    ("val_check_interval", to.val_check_interval),
    ("save_strategy", to.when_saved),
    ("save_steps every_n_train_steps", steps("trainer.save_every_n_steps", none="null")),
    ("save_total_limit save_top_k", renamed("trainer.keep_checkpoints", COUNT, why="a large number keeps all; the best is kept besides")),
    ("logging_steps log_steps", steps("trainer.log_every_n_steps")),
    ("metric_for_best_model eval_metric validation_metric monitor", to.best_metric),
    ("metric metrics compute_metrics", to.metric_list),
    ("greater_is_better", switch(Answer(("trainer.mode=max",)), Answer(("trainer.mode=min",)))),
    ("load_best_model_at_end restore_best_weights save_best_only restore_best", absent(_ALWAYS_BEST)),
    ("patience early_stopping_patience early_stopping_rounds", renamed("trainer.patience", COUNT, none="null")),
    ("min_delta early_stopping_threshold early_stopping_min_delta", renamed("trainer.min_delta", NOT_NEGATIVE, none="0")),
    ("early_stopping", to.early_stopping),
    ("report_to", to.reported),
    ("wandb wandb_project use_wandb use_swanlab mlflow_tracking_uri", absent("there is no such logger: logger=tensorboard, or metrics.jsonl of the run")),
    ("output_dir out_dir output save_dir default_root_dir logging_dir", to.run_dir),
    ("run_name experiment_name", to.run_name),
    ("overwrite_output_dir", absent("leave it out: each run has a directory of its own")),
    ("resume_from_checkpoint ckpt_path", to.resumed),
    ("disable_tqdm", switch(Answer(("--quiet",)))),
    ("do_train", absent("leave it out: ftcli train trains")),
    ("do_eval", absent("leave it out: a run is evaluated as it trains; ftcli evaluate RUN scores it again")),
    ("do_predict", absent("after the run type ftcli predict RUN --input FILE --output FILE")),
    ("push_to_hub hub_model_id hub_token hub_private_repo", absent(_PUSH)),
    ("fast_dev_run", absent("type ftcli train --dry-run: it checks everything and trains nothing")),
    ("overfit_batches", absent("type ftcli overfit-batch with the same words")),
    # seeds
    ("random_seed random_state manual_seed", renamed("seed", INDEX)),
    ("data_seed", absent("leave it out: seed decides the order of the rows too")),
    ("full_determinism deterministic", absent("leave it out: on a CPU the same seed gives the same bytes")),
    # model and tokenizer
    ("model_name_or_path pretrained_model_name_or_path model_name base_model model_id checkpoint_name model_path", to.model),
    ("model_revision", renamed("model.revision", none="null")),
    ("tokenizer_name tokenizer_name_or_path", absent("leave it out: the model's own tokenizer is used")),
    ("trust_remote_code", absent("code of a model or data set is never run")),
    ("use_auth_token", absent("log in once: hf auth login")),
    ("cache_dir", absent("set the environment variable HF_HOME; ftcli's own files lie under FTCLI_CACHE")),
    ("max_seq_length max_seq_len max_length cutoff_len sequence_len max_text_len model_max_length max_source_length",
     renamed("tokenizer.max_length", COUNT, none="null", off_below=1)),
    ("truncation", switch(Answer(("tokenizer.overlength=truncate",)), Answer(("tokenizer.overlength=error",)))),
    ("dropout hidden_dropout hidden_dropout_prob attention_probs_dropout_prob classifier_dropout dropout_rate", renamed("model.dropout", PROBABILITY, none="null")),
    ("from_scratch train_from_scratch", switch(Answer(("model.weights=random",)))),
    # rows
    ("dataset dataset_name datasets train_data", to.data_set),
    ("dataset_config_name dataset_config", to.subset),
    ("train_file training_file train_path paths.train", renamed("data.files.train", needs="data=text", none="null")),
    ("validation_file valid_file val_file eval_file dev_file paths.dev tuning_data", renamed("data.files.validation", needs="data=text", none="null")),
    ("test_file predict_file", renamed("data.files.test", needs="data=text", none="null")),
    ("data_dir dataset_dir data_path dataset_path", to.folder_of_rows),
    ("text_column text_column_name text_field dataset_text_field sentence1_key text_col", renamed("data.columns.text")),
    ("text_pair_column sentence2_key", renamed("data.columns.text_pair", none="null")),
    ("label_column label_column_name label_field target_column label label_col", renamed("data.columns.label")),
    ("max_train_samples max_samples num_train_samples", renamed("data.limit_train", COUNT, none="null", off_below=0)),
    ("max_eval_samples max_val_samples", renamed("data.limit_validation", COUNT, none="null", off_below=0)),
    ("val_size val_set_size validation_split holdout_frac", to.validation_share),
    ("validation_split_percentage", to.validation_percentage),
    # task
    ("task_name", to.task_name),
    ("task_type problem_type", choice("task")),
    ("stage", absent("tasks have a label a row (ftcli list task); there is no language-model training")),
    ("num_labels num_classes n_classes", to.num_labels),
    ("label_smoothing label_smoothing_factor", renamed("task.label_smoothing", PROBABILITY, none="0")),
    ("label_columns", names("task.label_columns", needs="task=multi-label")),
    ("class_weights class_weight focal_loss", absent("there are no class weights; 'task.metrics=[f1]' judges every class alike")),
    ("doc_stride", renamed("task.doc_stride", COUNT, needs="task=extractive-qa")),
    ("max_answer_length", renamed("task.max_answer_tokens", COUNT, needs="task=extractive-qa")),
    ("version_2_with_negative", switch(Answer(("task.null_threshold=0",), needs="task=extractive-qa"))),
    # adapters
    ("adapter peft_type peft_method finetuning_type tuner_type efficient_finetune", choice("peft")),
    ("use_lora use_peft", switch(Answer(("peft=lora",)))),
    ("r lora_r lora_rank", renamed("peft.r", COUNT, needs="peft=lora")),
    ("lora_alpha", renamed("peft.lora_alpha", COUNT, needs="peft=lora")),
    ("lora_dropout peft.dropout", renamed("peft.lora_dropout", PROBABILITY, needs="peft=lora", none="0")),
    ("lora_target lora_target_modules target_modules", to.target_modules),
    ("lora_target_linear", switch(Answer(("peft.target_modules=[all-linear]",), needs="peft=lora"))),
    ("modules_to_save lora_modules_to_save additional_target", absent(_HEAD)),
    ("layers_to_transform", to.block_range),
    ("use_dora peft_use_dora", switch(Answer(("peft.use_dora=true",), needs="peft=lora"))),
    ("use_rslora peft_use_rslora", switch(Answer(("peft.use_rslora=true",), needs="peft=lora"))),
    ("pissa_init", switch(Answer(("peft=pissa",)))),
    ("init_lora_weights", to.init_lora_weights),
    ("num_virtual_tokens", renamed("peft.num_virtual_tokens", COUNT, needs="peft=prompt-tuning")),
    # freezing
    ("freeze_trainable_layers", to.top_layers),
    ("freeze_layers num_frozen_layers", to.frozen_layers),
    ("freeze_backbone freeze_encoder freeze_base freeze_base_model", switch(_HEAD_ONLY, _ALL_TRAIN, rivals=_FROZEN)),
    ("freeze_embeddings", switch(Answer(("freezing=embeddings",)), _ALL_TRAIN, rivals=_FROZEN)),
    ("gradual_unfreezing", switch(Answer(("freezing=gradual",)), _ALL_TRAIN, rivals=_FROZEN)),
    ("unfreeze_backbone_at_epoch", absent(_SCHEDULE)),
    ("unfrozen_parameters", names("freezing.train", needs="freezing=patterns")),
    ("ft_schedule", renamed("freezing.file", needs="freezing=schedule")),
    ("epoch_transitions_only", boolean("freezing.epoch_transitions_only", needs="freezing=gradual")),
    ("max_depth num_phases", renamed("freezing.num_phases", COUNT, needs="freezing=gradual", none="null", off_below=0)),
    ("gen_ft_sched_only", absent("type ftcli generate-schedule -o FILE with the same words")),
    ("config config_file", renamed("recipe")),
]  # fmt: skip
"""(names, how their value is converted); names as `plain` makes them, a dotted one only where it is the whole key."""
_WEIGHED = (
    "task.num_labels",
    "task.metrics",
    "trainer.monitor",
    "trainer.batch_size",
    "trainer.micro_batch_size",
)
"""Keys whose rules tell another one on purpose, where the other words ask for it."""
_TABLE = {name: rule for names_of_one, rule in _RULES for name in names_of_one.split()}


def plain(key: str) -> str:
    """Returns a key in lower case with underscores, without the dashes of a flag."""
    return key.strip().lstrip("-").lower().replace("-", "_")


def foreign_keys() -> list[str]:
    """Returns every key of the table."""
    return [name for names_of_one, _ in _RULES for name in names_of_one.split()]


def typed_pairs(texts: Iterable[str]) -> dict[str, str]:
    """Returns the keys, as `plain` makes them, and values of a command's words and flags.

    Another tool's dotted key, such as `training_args.eval_steps`, is found by its last part too.
    """
    parts = [text.partition("=") for text in texts]
    found = {plain(key): value for key, _, value in parts}
    for key, value in list(found.items()):
        group, _, last = key.rpartition(".")
        if group and key not in base_keys() and last not in (*ROLES, "recipe"):
            found.setdefault(last, value)
    return found


def answer_key(key: str, value: str, typed: Typed, known: Collection[str] = ()) -> Answer | None:
    """Returns what to type for an unknown key.

    A dotted key such as `trainer.learning_rate` or `optimization.max_epochs` is looked up whole, then by its last part.

    Args:
        key: as typed, a flag's dashes included.
        value: as typed, empty for a flag without one.
        typed: all words of the command, of `typed_pairs`.
        known: our keys under the choices of the run; none: only the table is asked, beside the keys of every run.

    Returns:
        None where only the nearest name can be offered.
    """
    name, own_too, known = plain(key), bool(known), known or base_keys()
    last = name.rpartition(".")[2]
    same = [own for own in known if plain(own) == name]
    if same:
        return Answer((f"{same[0]}={value or 'VALUE'}",))
    if "." in name and name in _TABLE:
        return _TABLE[name](value, typed)
    # The published recipe of a model is nothing to type.
    exact = [k for k in known if plain(k.rpartition(".")[2]) == last and not k.startswith("model.published.")]
    if rule := _TABLE.get(last):
        return _beside_own(rule(value, typed), sorted(exact), _of_role(name, known), known, typed)
    sure = own_too and "." not in name and len(exact) == 1
    return Answer((f"{exact[0]}={value or 'VALUE'}",)) if sure else None


def _of_role(name: str, known: Collection[str]) -> list[str]:
    """Returns our keys of the role that was typed whose last parts end alike, as dropout and lora_dropout do."""
    role, last = name.partition(".")[0], name.rpartition(".")[2]
    ends = [(own, plain(own.rpartition(".")[2])) for own in known if own.startswith(f"{role}.")]
    alike = [own for own, end in ends if end.endswith(f"_{last}") or last.endswith(f"_{end}")]
    return sorted(own for own in alike if not own.startswith("model.published."))


def _beside_own(
    answer: Answer, exact: list[str], of_role: list[str], known: Collection[str], typed: Typed
) -> Answer:
    """Returns the table's answer for a last part, together with keys of ours that it would hide.

    Args:
        answer: the table's.
        exact: our keys with this last part.
        of_role: see `_of_role`.
        known: see `answer_key`.
        typed: see `answer_key`.
    """
    told = {word.partition("=")[0] for word in answer.words}
    if of_role and answer.words and not any(key.startswith(f"{of_role[0].split('.')[0]}.") for key in told):
        return Answer(note=f"did you mean {' or '.join(of_role[:3])}? or {answer.hint(known, typed)}")
    hidden = [own for own in exact if own not in {*told, *_WEIGHED, *typed} and own not in answer.note]
    if not hidden:
        return answer
    return replace(answer, note="; ".join(filter(None, [answer.note, f"or did you mean {hidden[0]}?"])))


def answer_bare(text: str, typed: Typed, roles: Iterable[str]) -> Answer | None:
    """Returns what to type for a word without `=`: a choice, a file, or another tool's switch such as `fp16`.

    Args:
        text: as typed.
        typed: all words of the command.
        roles: the groups whose choices it may name, in order.
    """
    if Path(text).suffix in (".yaml", ".yml"):
        return Answer((f"recipe={text}",), "a recipe of ftcli; other tools' files are not read")
    if is_data_file(text):
        return answer_choice("data", text, typed)
    role = next((role for role in roles if is_choice(role, text)), None)
    return answer_choice(role, text, typed) if role else answer_key(text, "", typed)


def choice_hint(role: str, value: str, known: Collection[str], typed: Typed | None = None) -> str:
    """Returns the hint for a choice that a group does not have: another tool's name of one, else the nearest.

    Args:
        role: such as `task`.
        value: as typed.
        known: the group's choices.
        typed: all words of the command; None in a file.
    """
    answer = answer_choice(role, value, typed or {})
    return answer.hint(typed=typed) if answer else did_you_mean(value, known)


def field_hint(name: str, fields: Iterable[str], value: Any = "") -> str:
    """Returns the hint for an unknown field where one role's fields stand without its name, as in a schedule.

    Args:
        name: as written.
        fields: what there is.
        value: as YAML gives it; shown as our field takes it: `warmup_steps: 1` is `warmup: 1st`.
    """
    known = list(fields)
    answer = answer_key(name, _as_word(value) or "1", {})
    for word in answer.words if answer else ():
        key, _, told = word.partition("=")
        if (field := key.rpartition(".")[2]) in known:
            return f"write {field}" + (f": {told}" if _as_word(value) else "")
    return did_you_mean(name, known)


def _as_word(value: Any) -> str:
    """Returns a plain value as it is typed in the shell; empty for a mapping."""
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_as_word, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return "" if isinstance(value, dict) else "null" if value is None else str(value)


def metric_hint(name: str, known: Collection[str], key: str = "") -> str:
    """Returns the hint for an unknown figure, such as `eval_f1_macro` or `roc_auc`.

    Args:
        name: as typed.
        known: our names.
        key: what stands in front of it, such as `trainer.monitor=`.
    """
    ours = metric_name(name)
    return f"type {key}{ours}" if ours is not None and ours in known else did_you_mean(name, known)


def command_hint(name: str) -> str:
    """Returns the hint for another tool's command, empty where only the nearest name can be offered."""
    ours = command_for(name)
    return f"type {ours}" if ours else ""
