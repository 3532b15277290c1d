"""Other tools' names of choices, metrics and commands, each beside ours."""

from __future__ import annotations

from ftcli.config.foreign.answer import Answer

_NO_LANGUAGE_MODEL = Answer(
    note="there is no such task; task=causal-lm goes on with plain text, and ftcli list task names what there is"
)
_NO_QUANTIZATION = Answer(("peft=lora",), "on the unquantized base: there is no quantized training")
_TWO_OPTIMIZERS = Answer(("optimizer=adamw",), "there are adamw and sgd")
_NO_STEP_DECAY = Answer(
    note="there is no step decay: type scheduler=cosine, or write a schedule with an lr in each phase"
)
_NO_SUCH_LOGGER = Answer(
    ("logger=tensorboard",), "there is no such logger; programs read metrics.jsonl of the run"
)

CHOICES: dict[str, dict[str | Answer, str]] = {
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
        "causal-lm": "clm pt language-modeling causal-language-modeling text-generation pretraining",
        _NO_LANGUAGE_MODEL: """sft text2text-generation seq2seq seq-2-seq-lm summarization translation mlm fill-mask dpo ppo rm kto orpo grpo""",
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

METRICS = {
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

COMMANDS = {
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
