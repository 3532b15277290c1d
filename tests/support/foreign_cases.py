"""Words of other tools, each with the words or the line that answers it."""

from __future__ import annotations

CONVERTED = """
lr=5e-5                                             -> optimizer.lr=5e-5
--lr 1e-4                                           -> optimizer.lr=1e-4
-lr 1e-4                                            -> optimizer.lr=1e-4
--learning_rate=1e-4                                -> optimizer.lr=1e-4
--learning-rate 1e-4                                -> optimizer.lr=1e-4
learning_rate=2e-5                                  -> optimizer.lr=2e-5
trainer.learning_rate=2e-5                          -> optimizer.lr=2e-5
optimization.learning_rate=1e-4                     -> optimizer.lr=1e-4
weight_decay=0.1                                    -> optimizer.weight_decay=0.1
adam_beta1=0.8                                      -> optimizer.betas=[0.8,0.999]
adam_beta1=0.8 adam_beta2=0.95                      -> optimizer.betas=[0.8,0.95]
adam_betas=[0.9,0.98]                               -> optimizer.betas=[0.9,0.98]
adam_epsilon=1e-6                                   -> optimizer.eps=1e-6
optimizer=sgd adam_epsilon=1e-6                     -> optimizer=adamw optimizer.eps=1e-6
momentum=0.9                                        -> optimizer=sgd optimizer.momentum=0.9
optim=adamw_torch                                   -> optimizer=adamw
optim=paged_adamw_8bit                              -> optimizer=adamw
lr_scheduler_type=cosine                            -> scheduler=cosine
lr_scheduler_type=cosine_with_restarts              -> scheduler=cosine-restarts
lr_scheduler_type=constant_with_warmup              -> scheduler=constant
scheduler=inverse_sqrt                              -> scheduler=inverse-sqrt
scheduler=OneCycleLR                                -> scheduler=one-cycle
warmup_ratio=0.06                                   -> scheduler.warmup=0.06
warmup_steps=100                                    -> scheduler.warmup=100st
warmup_steps=0.1                                    -> scheduler.warmup=0.1
warmup_epochs=2                                     -> scheduler.warmup=2ep
scheduler.patience=3                                -> scheduler=plateau scheduler.patience=3
num_training_steps=500                              -> scheduler.total_steps=500
max_grad_norm=0.5                                   -> trainer.max_grad_norm=0.5
gradient_clip_val=0                                 -> trainer.max_grad_norm=null
layerwise_lr_decay=0.9                              -> optimizer.layerwise.kind=geometric optimizer.layerwise.decay=0.9
loraplus_lr_ratio=16                                -> peft=lora-plus peft.lora_plus_ratio=16
num_train_epochs=3                                  -> trainer.epochs=3
max_epochs=5                                        -> trainer.epochs=5
trainer.num_train_epochs=3                          -> trainer.epochs=3
max_steps=200                                       -> trainer.max_steps=200
max_steps=-1                                        -> trainer.max_steps=null
per_device_train_batch_size=16                      -> trainer.batch_size=16
batch_size=16                                       -> trainer.batch_size=16
--per_device_train_batch_size 8 --gradient_accumulation_steps 4 -> trainer.batch_size=32 trainer.micro_batch_size=8
gradient_accumulation_steps=4                       -> trainer.batch_size=32 trainer.micro_batch_size=8
trainer.batch_size=64 gradient_accumulation_steps=4 -> trainer.micro_batch_size=16
micro_batch_size=2 gradient_accumulation_steps=4    -> trainer.batch_size=8 trainer.micro_batch_size=2
micro_batch_size=4                                  -> trainer.micro_batch_size=4
per_device_eval_batch_size=64                       -> trainer.eval_batch_size=64
auto_find_batch_size=true                           -> trainer.micro_batch_size=auto
max_tokens=4096                                     -> trainer.token_budget=4096
fp16=true                                           -> trainer.precision=fp16
--fp16                                              -> trainer.precision=fp16
fp16                                                -> trainer.precision=fp16
fp16=False                                          -> trainer.precision=fp32
bf16=true                                           -> trainer.precision=bf16
precision=bf16-mixed                                -> trainer.precision=bf16
precision=16-mixed                                  -> trainer.precision=fp16
mixed_precision=no                                  -> trainer.precision=fp32
torch_dtype=torch.bfloat16                          -> trainer.precision=bf16
device=cuda:0                                       -> trainer.device=cuda
--gpu-id 0                                          -> trainer.device=cuda
no_cuda=true                                        -> trainer.device=cpu
use_mps_device=true                                 -> trainer.device=mps
num_threads=2                                       -> trainer.threads=2
gradient_checkpointing=True                         -> trainer.gradient_checkpointing=true
--gradient_checkpointing                            -> trainer.gradient_checkpointing=true
attn_implementation=eager                           -> model.attention=eager
flash_attn=fa2                                      -> model.attention=sdpa
sdp_attention=true                                  -> model.attention=sdpa
evaluation_strategy=steps                           -> trainer.eval_every_n_steps=500
eval_strategy=steps eval_steps=50                   -> trainer.eval_every_n_steps=50
eval_strategy=epoch                                 -> trainer.eval_every_n_steps=null
eval_steps=100                                      -> trainer.eval_every_n_steps=100
save_strategy=steps save_steps=50                   -> trainer.save_every_n_steps=50
save_steps=500                                      -> trainer.save_every_n_steps=500
save_total_limit=3                                  -> trainer.keep_checkpoints=3
logging_steps=10                                    -> trainer.log_every_n_steps=10
log_every_n_steps=5                                 -> trainer.log_every_n_steps=5
metric_for_best_model=eval_f1                       -> task.metrics=[f1]
metric_for_best_model=eval_loss                     -> trainer.monitor=loss
metrics=[accuracy,f1_macro]                         -> task.metrics=[accuracy,f1]
greater_is_better=false                             -> trainer.mode=min
early_stopping_patience=3                           -> trainer.patience=3
early_stopping_threshold=0.01                       -> trainer.min_delta=0.01
early_stopping=true                                 -> trainer.patience=3
report_to=tensorboard                               -> logger=tensorboard
report_to=none                                      -> logger=jsonl
output_dir=out                                      -> --run-dir out
--output_dir out                                    -> --run-dir out
run_name=first                                      -> --run-dir runs/first
disable_tqdm=true                                   -> --quiet
random_state=7                                      -> seed=7
model_name_or_path=bert-base-uncased                -> model=bert-base
model_name_or_path=google-bert/bert-base-uncased    -> model=bert-base
model_name_or_path=xlm-roberta-large                -> model=local model.id=xlm-roberta-large
model_name_or_path=answerdotai/ModernBERT-base      -> model=local model.id=answerdotai/ModernBERT-base
model_name_or_path=./my-model                       -> model=local model.path=./my-model
model=bert-base-uncased                             -> model=bert-base
model=microsoft/deberta-v3-large                    -> model=deberta-v3-large
model=./my-model                                    -> model=local model.path=./my-model
--model bert                                        -> model=bert-base
distilbert-base-uncased                             -> model=distilbert
model_revision=main                                 -> model.revision=main
max_seq_length=128                                  -> tokenizer.max_length=128
max_length=128                                      -> tokenizer.max_length=128
cutoff_len=128                                      -> tokenizer.max_length=128
--max-seq-length 128                                -> tokenizer.max_length=128
model.max_length=128                                -> tokenizer.max_length=128
truncation=true                                     -> tokenizer.overlength=truncate
dropout=0.2                                         -> model.dropout=0.2
from_scratch=true                                   -> model.weights=random
dataset=imdb                                        -> data=text data.id=imdb
data=imdb                                           -> data=text data.id=imdb
data=dair-ai/emotion                                -> data=text data.id=dair-ai/emotion
dataset_name=stanfordnlp/sst2                       -> data=sst2
dataset_name=glue dataset_config_name=mrpc          -> data=mrpc
data=glue/rte                                       -> data=rte
dataset_config_name=en                              -> data.subset=en
data=./train.csv                                    -> data=text data.files.train=./train.csv
dataset=rows.jsonl                                  -> data=text data.files.train=rows.jsonl
train.csv                                           -> data=text data.files.train=train.csv
data=train.conll                                    -> data=text data.format=conll data.files.train=train.conll
data=./rows                                         -> data=text data.path=./rows
data=squad_v2                                       -> data=squad data.id=rajpurkar/squad_v2 task=extractive-qa task.null_threshold=0
train_file=train.csv                                -> data=text data.files.train=train.csv
data=text train_file=train.csv                      -> data.files.train=train.csv
validation_file=dev.csv                             -> data=text data.files.validation=dev.csv
test_file=test.csv                                  -> data=text data.files.test=test.csv
data_dir=rows                                       -> data=text data.path=rows
text_column=review                                  -> data.columns.text=review
sentence2_key=hypothesis                            -> data.columns.text_pair=hypothesis
label_column=stars                                  -> data.columns.label=stars
max_train_samples=500                               -> data.limit_train=500
max_eval_samples=200                                -> data.limit_validation=200
val_size=0.1                                        -> data.validation_share=0.1
validation_split_percentage=10                      -> data.validation_share=0.1
task=clm                                            -> task=causal-lm
task=text-classification                            -> task=sequence-classification
text-classification                                 -> task=sequence-classification
task=ner                                            -> task=token-classification
ner                                                 -> task=token-classification
task=token-cls                                      -> task=token-classification
task=question-answering                             -> task=extractive-qa
task=token_classification                           -> task=token-classification
task=Sequence-Classification                        -> task=sequence-classification
task_type=SEQ_CLS                                   -> task=sequence-classification
problem_type=multi_label_classification             -> task=multi-label
task_name=cola                                      -> data=cola
task_name=ner                                       -> task=token-classification
num_labels=3                                        -> task.num_labels=3
label_smoothing_factor=0.1                          -> task.label_smoothing=0.1
label_columns=[toxic,insult]                        -> task=multi-label task.label_columns=[toxic,insult]
doc_stride=64                                       -> task=extractive-qa task.doc_stride=64
max_answer_length=20                                -> task=extractive-qa task.max_answer_tokens=20
version_2_with_negative=true                        -> task=extractive-qa task.null_threshold=0
adapter=lora                                        -> peft=lora
adapter=qlora                                       -> peft=lora
finetuning_type=lora                                -> peft=lora
finetuning_type=full                                -> peft=none freezing=none
finetuning_type=freeze                              -> freezing=bottom-layers
peft=bitfit                                         -> freezing=bias-only
lora                                                -> peft=lora
use_lora=true                                       -> peft=lora
lora_r=16                                           -> peft=lora peft.r=16
lora_rank=16                                        -> peft=lora peft.r=16
peft.r=16                                           -> peft=lora peft.r=16
peft=dora lora_r=16                                 -> peft.r=16
lora_alpha=32                                       -> peft=lora peft.lora_alpha=32
lora_dropout=0.1                                    -> peft=lora peft.lora_dropout=0.1
lora_target=query,value                             -> peft=lora peft.target_modules=[query,value]
lora_target=all                                     -> peft=lora peft.target_modules=[all-linear]
lora_target_linear=true                             -> peft=lora peft.target_modules=[all-linear]
target_modules=["query","value"]                    -> peft=lora peft.target_modules=[query,value]
layers_to_transform=[4,5]                           -> peft=lora peft.layers=4:6
use_dora=true                                       -> peft=lora peft.use_dora=true
use_rslora=true                                     -> peft=lora peft.use_rslora=true
pissa_init=true                                     -> peft=pissa
init_lora_weights=gaussian                          -> peft=lora peft.init_lora_weights=gaussian
num_virtual_tokens=20                               -> peft=prompt-tuning peft.num_virtual_tokens=20
freeze_trainable_layers=2                           -> freezing=bottom-layers
freeze_layers=4                                     -> freezing=bottom-layers freezing.num_layers=4
freeze_backbone=true                                -> freezing=head-only
freeze_embeddings=true                              -> freezing=embeddings
gradual_unfreezing=true                             -> freezing=gradual
unfrozen_parameters=[classifier.*]                  -> freezing=patterns freezing.train=[classifier.*]
ft_schedule=phases.yaml                             -> freezing=schedule freezing.file=phases.yaml
epoch_transitions_only=true                         -> freezing=gradual freezing.epoch_transitions_only=true
max_depth=3                                         -> freezing=gradual freezing.num_phases=3
optimizer=adam                                      -> optimizer=adamw
Optimizer.LR=1e-4                                   -> optimizer.lr=1e-4
optimizer.weight-decay=0.1                          -> optimizer.weight_decay=0.1
batch_size=32 micro_batch_size=8                    -> trainer.micro_batch_size=8
micro_batch_size=8 batch_size=32                    -> trainer.batch_size=32
train_batch_size=64 per_device_train_batch_size=8   -> trainer.micro_batch_size=8
per_device_train_batch_size=8 train_batch_size=64   -> trainer.batch_size=64
trainer.accumulate_grad_batches=4 batch_size=16     -> trainer.batch_size=64 trainer.micro_batch_size=16
trainer.accumulate_grad_batches=4 data.batch_size=16 -> trainer.batch_size=64 trainer.micro_batch_size=16
per_device_train_batch_size=16 training_args.gradient_accumulation_steps=4 -> trainer.batch_size=64 trainer.micro_batch_size=16
trainer.micro_batch_size=16 gradient_accumulation_steps=4 -> trainer.batch_size=64 trainer.micro_batch_size=16
trainer.micro_batch_size=16 batch_size=64           -> trainer.batch_size=64
trainer.batch_size=64 per_device_train_batch_size=8 -> trainer.micro_batch_size=8
trainer.batch_size=16 gradient_accumulation_steps=3 -> trainer.micro_batch_size=6
trainer.token_budget=2000 per_device_train_batch_size=8 -> trainer.micro_batch_size=8
auto_find_batch_size=true per_device_train_batch_size=8 gradient_accumulation_steps=4 -> trainer.batch_size=32
auto_scale_batch_size=power                         -> trainer.micro_batch_size=auto
per_device_train_batch_size=8.0                     -> trainer.batch_size=8
bf16=False                                          -> trainer.precision=fp32
fp16=False bf16=True                                -> trainer.precision=bf16
dtype=bf16                                          -> trainer.precision=bf16
model.torch_dtype=float32                           -> model.dtype=float32
model.torch_dtype=torch.bfloat16                    -> model.dtype=bfloat16
total_steps=100                                     -> trainer.max_steps=100
scheduler.max_steps=100                             -> scheduler.total_steps=100
scheduler.num_steps=100                             -> scheduler.total_steps=100
scheduler=plateau scheduler.early_stopping_patience=2 -> scheduler.patience=2
scheduler=plateau patience=3                        -> trainer.patience=3
peft=lora peft.dropout=0.1                          -> peft.lora_dropout=0.1
--peft.dropout 0.1                                  -> peft=lora peft.lora_dropout=0.1
peft=dora --lora_r 16                               -> peft.r=16
weight_decay=none                                   -> optimizer.weight_decay=0
dropout=None                                        -> model.dropout=null
eval_steps=500.0                                    -> trainer.eval_every_n_steps=500
eval_steps=None                                     -> trainer.eval_every_n_steps=null
val_check_interval=1.0                              -> trainer.eval_every_n_steps=null
val_check_interval=200                              -> trainer.eval_every_n_steps=200
warmup_steps=1e3                                    -> scheduler.warmup=1000st
lora_alpha=32.0                                     -> peft=lora peft.lora_alpha=32
init_lora_weights=True                              -> peft=lora peft.init_lora_weights=kaiming
freeze_layers=[0,1,2]                               -> freezing=bottom-layers freezing.num_layers=3
unfrozen_parameters=['^layers.2[0-9]+.x']           -> freezing=patterns freezing.train=["^layers.2[0-9]+.x"]
num_labels=1                                        -> task=regression
monitor=val_loss                                    -> trainer.monitor=loss
task.metrics=[accuracy,f1] metric_for_best_model=f1 -> trainer.monitor=f1
task.metrics=[accuracy] metric_for_best_model=f1    -> task.metrics=[f1,accuracy]
early_stopping=5                                    -> trainer.patience=5
gradient_checkpointing=unsloth                      -> trainer.gradient_checkpointing=true
use_mps_device                                      -> trainer.device=mps
config.yaml                                         -> recipe=config.yaml
--config run/mine.yaml                              -> recipe=run/mine.yaml
"""
"""What is typed -> what the panel says to type for the last of it."""
ANSWERED = {
    "task=sft": "there is no such task; task=causal-lm",
    "head_lr=1e-3": "optimizer.layerwise.head_multiplier",
    "use_galore=true": "adamw and sgd",
    "group_by_length=true": "leave it out",
    "packing=true": "trainer.token_budget=N",
    "pad_to_max_length=true": "padded to the longest",
    "tf32=true": "no such setting",
    "torch_compile=true": "not compiled",
    "dataloader_num_workers=4": "no worker processes",
    "deepspeed=ds.json": "one process",
    "fsdp=full_shard": "one process",
    "load_in_4bit=true": "no quantized training",
    "use_liger_kernel=true": "no such kernels",
    "neftune_noise_alpha=5": "no noise",
    "eval_strategy=no": "every run is evaluated",
    "eval_steps=0.2": "a whole number of steps from 1, or null: a share of the run is not read",
    "load_best_model_at_end=true": "always kept",
    "wandb_project=mine": "no such logger",
    "overwrite_output_dir=true": "a directory of its own",
    "resume_from_checkpoint=out/checkpoint-500": "ftcli resume out",
    "resume_from_checkpoint=true": "ftcli resume last",
    "do_train": "ftcli train trains",
    "--do_eval": "ftcli evaluate RUN",
    "do_predict=true": "ftcli predict RUN",
    "push_to_hub=true": "ftcli export RUN DIR --push ID",
    "fast_dev_run=true": "--dry-run",
    "overfit_batches=1": "ftcli overfit-batch",
    "data_seed=1": "seed decides",
    "full_determinism=true": "the same bytes",
    "tokenizer_name=bert-base-uncased": "own tokenizer",
    "trust_remote_code=true": "never run",
    "use_auth_token=true": "hf auth login",
    "cache_dir=/tmp/hf": "HF_HOME",
    "stage=sft": "stage pt is task=causal-lm here",
    "class_weights=balanced": "no class weights",
    "modules_to_save=[classifier]": "head trains",
    "unfreeze_backbone_at_epoch=2": "head-then-all",
    "gen_ft_sched_only=true": "ftcli generate-schedule",
    "use_lora=false": "off by default",
    "val_size=500": "data.validation_share takes a share of the training rows, above 0 and at most 0.5",
    "trainer.token_budget=2000 gradient_accumulation_steps=8": "leave it out: trainer.token_budget",
    "trainer.batch_size=8 max_tokens=2000": "(in the place of trainer.batch_size)",
    "trainer.batch_size=8 per_device_train_batch_size=16": "leave it out: trainer.batch_size=8 is typed",
    "trainer.batch_size=64 trainer.micro_batch_size=8 gradient_accumulation_steps=8": "leave it out",
    "gradient_accumulation_steps=auto": "accumulation steps are a whole number from 1",
    "eval_strategy=steps eval_steps=0.1": "a share of the run is not read",
    "eval_strategy=steps logging_steps=0.05": "a share of the run is not read",
    "save_strategy=steps save_steps=0.2": "a share of the run is not read",
    "eval_steps=0": "trainer.eval_every_n_steps takes a whole number of steps from 1, or null",
    "logging_steps=0": "trainer.log_every_n_steps takes a whole number of steps from 1",
    "val_check_interval=0.25": "a share of the run is not read",
    "total_steps=100": "did you mean scheduler.total_steps?",
    "--total_steps 100": "did you mean scheduler.total_steps?",
    "dtype=bf16": "did you mean model.dtype?",
    "scheduler=plateau patience=3": "did you mean scheduler.patience?",
    "fp16=False bf16=True": "leave it out: bf16 is typed",
    "fp16=True bf16=True": "keep one of fp16 and bf16",
    "bf16=False trainer.precision=fp16": "leave it out: trainer.precision is typed",
    "no_cuda=False device=cuda": "leave it out: device is typed",
    "freeze_embeddings=False freeze_backbone=True": "leave it out: freeze_backbone is typed",
    "save_total_limit=None": "trainer.keep_checkpoints takes a whole number from 1: a large number keeps all",
    "save_top_k=-1": "trainer.keep_checkpoints takes a whole number from 1",
    "save_top_k=0": "trainer.keep_checkpoints takes a whole number from 1",
    "learning_rate=None": "optimizer.lr takes a number above 0",
    "text_column=None": "data.columns.text takes a name",
    "validation_split=0.9": "above 0 and at most 0.5",
    "validation_split=validation": "data.validation_share takes a share of the training rows",
    "task=regression num_labels=2": "leave it out: a regression has one output",
    "metric_for_best_model=None": "the first of task.metrics decides",
    "metric_for_best_model=eval_rouge": "there is no metric 'rouge'",
    "metric_for_best_model=f1_weighted": "there is no metric 'f1-weighted': did you mean f1?",
    r"target_modules=.*\.(q|v)_proj": "a regex is not read",
    "freeze_layers=[4,5]": "from the bottom",
    "layers_to_transform=-1": "one range of blocks",
    "resume_from_checkpoint=False": "leave it out",
    "output_dir=out": "a flag of ftcli train",
    "run_name=first": "a flag of ftcli train",
    "logging_dir=logs": "a flag of ftcli train",
    "data=revews": "did you mean reviews? for a name of the hub type data=text data.id=revews",
    "scheduler=step": "no step decay",
}
"""What is typed -> what the panel says where no words do the same."""
CASES = [tuple(side.strip() for side in line.rsplit(" -> ", 1)) for line in CONVERTED.strip().splitlines()]
