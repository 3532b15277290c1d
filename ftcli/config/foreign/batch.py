"""Rows and accumulation steps of other tools -> `trainer.batch_size` and `trainer.micro_batch_size`.

Elsewhere the rows of a forward pass are typed and multiplied; here the rows of an optimizer step are typed and
split. One word says nothing alone: what it becomes depends on the others, theirs and ours.
"""

from __future__ import annotations

from ftcli.config.foreign.answer import Answer, Typed
from ftcli.config.foreign.values import COUNT, Rule, is_none, is_on, refused, renamed, whole

ROWS = ("per_device_train_batch_size", "per_gpu_train_batch_size", "per_gpu_batch_size", "micro_batch_size",
        "train_batch_size", "batch_size", "bs")  # fmt: skip
"""Names of the rows of a forward pass on one device; the first that is typed counts where there is accumulation."""
ACCUMULATION = ("gradient_accumulation_steps", "gradient_accumulation", "grad_accumulation_steps", "accumulation_steps",
                "accumulate_grad_batches")  # fmt: skip
"""Names of the forward passes in an optimizer step."""
AUTO = ("auto_find_batch_size", "auto_scale_batch_size")
TOKENS = ("trainer.token_budget", "max_tokens", "tokens_per_batch")
TRAINER_ROWS = 8
"""per_device_train_batch_size of the Trainer, where none is typed."""
STEP, PASS = "trainer.batch_size", "trainer.micro_batch_size"
_WORDS = "batch_size: rows of an optimizer step, micro_batch_size: rows of a forward pass"


def batch(value: str, typed: Typed) -> Answer:
    """Rows a device; with accumulation steps their product is the rows of an optimizer step."""
    if not value:
        return Answer(note=f"type {STEP}=N {PASS}=M ({_WORDS})")
    rows = _count(value)
    return refused(STEP, COUNT.what) if rows is None else _answer(rows, typed)


def accumulation(value: str, typed: Typed) -> Answer:
    """Forward passes in an optimizer step."""
    if not value:
        return Answer(note=f"type {STEP}=N {PASS}=M ({_WORDS})")
    if _count(value) is None:
        return Answer(note=f"accumulation steps are {COUNT.what} ({_WORDS})")
    return _answer(None, typed)


def micro_batch(value: str, typed: Typed) -> Answer:
    """The rows of a forward pass; with accumulation steps, axolotl's part of a batch."""
    step = _first((STEP,), typed)
    if _first(ACCUMULATION, typed) or (step and (_count(value) or 0) > step):
        return batch(value, typed)
    answer = renamed(PASS, COUNT, none="null")(value, typed)
    return Answer(answer.words, _WORDS) if answer.words else answer


def token_budget(value: str, typed: Typed) -> Answer:
    """Tokens of an optimizer step; trainer.batch_size beside it is refused."""
    rule: Rule = renamed(TOKENS[0], COUNT, none="null")
    answer = rule(value, typed)
    return Answer(answer.words, f"in the place of {STEP}") if answer.words and STEP in typed else answer


def _answer(rows: int | None, typed: Typed) -> Answer:
    """Returns the answer for a word of rows, or with `rows=None` for one of accumulation steps."""
    times = _first(ACCUMULATION, typed) or 1
    step, passed = _first((STEP,), typed), _first((PASS,), typed)
    split = PASS in typed or any(name in typed and is_on(typed[name]) for name in AUTO)
    if any(typed.get(name) and not is_none(typed[name]) for name in TOKENS):
        return _under_a_budget(rows, split)
    if step:
        return _of_a_step(step, rows and _first(ROWS, typed), times, split)
    if times == 1:
        return _without_accumulation(rows, passed, split, typed)
    foreign = _first(ROWS, typed)
    each = passed or foreign or TRAINER_ROWS
    given = passed or foreign
    why = _WORDS if given else f"{TRAINER_ROWS} rows, the Trainer's default, times {times}; {_WORDS}"
    words = (f"{STEP}={each * times}", f"{PASS}={each}")
    return Answer(words[:1] if split and not passed else words, why)


def _under_a_budget(rows: int | None, split: bool) -> Answer:
    if rows is None or split:
        return Answer(note=f"leave it out: {TOKENS[0]} limits the tokens of an optimizer step")
    return Answer((f"{PASS}={rows}",), f"{TOKENS[0]} limits the optimizer step, micro_batch_size splits it")


def _of_a_step(step: int, rows: int | None, times: int, split: bool) -> Answer:
    """The rows of a step are typed in our own word, which counts: the others only say how it is split."""
    if split:
        return Answer(note=f"leave it out: {STEP} and {PASS} are set")
    each = rows or -(-step // times)
    if each > step or (rows is None and times == 1):
        return Answer(note=f"leave it out: {STEP}={step} is typed ({_WORDS})")
    return Answer((f"{PASS}={each}",), _WORDS)


def _without_accumulation(rows: int | None, passed: int | None, split: bool, typed: Typed) -> Answer:
    if rows is None:
        if passed:
            return Answer((f"{STEP}={passed}",), _WORDS)
        return Answer(
            note="leave it out: a step is one forward pass unless trainer.micro_batch_size splits it"
        )
    if passed and passed > rows:
        return Answer(note=f"leave one out: {PASS}={passed} is more than {rows} rows ({_WORDS})")
    others = [_count(typed[name]) or 0 for name in ROWS if name in typed]
    if max(others, default=0) > rows and not split:  # train_batch_size=64 per_device_train_batch_size=8
        return Answer((f"{PASS}={rows}",), _WORDS)
    return Answer((f"{STEP}={rows}",))


def _count(value: str) -> int | None:
    found = whole(value)
    return found if found is not None and found >= 1 else None


def _first(keys: tuple[str, ...], typed: Typed) -> int | None:
    return next((found for key in keys if (found := _count(typed.get(key, ""))) is not None), None)
