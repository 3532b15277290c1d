"""What speed.py found, as one table, and the check that all tools did the same work."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from machine import publish, spread
from roofline import Encoder

if TYPE_CHECKING:
    from speed_rows import Bench, Row

Run = dict[str, Any]
Runs = dict["Row", list[Run]]
Rate = Callable[[Run], float]

SAME = {"fp32": 1e-4, "bf16": 2e-2}
"""Largest relative difference of two tools' losses of the same rows; bf16 where one of them uses it."""
MIB = 2**20

HEAD = ["part: tool", "precision", "training rows/s", "ftcli / it", "whole loop rows/s", "ftcli / it", "dev accuracy",
        "useful tokens/s", "tokens trained", "peak memory, MiB", "start-up, s", "share of roofline"]  # fmt: skip

GOALS = [
    ("full: ftcli / Trainer, default", ("full", "ftcli"), ("full", "Trainer, default"), 4.0),
    ("full: ftcli / Trainer, tuned", ("full", "ftcli"), ("full", "Trainer, tuned"), 1.4),
    ("ftcli: lora / full", ("lora", "ftcli"), ("full", "ftcli"), 1.2),
    ("lora: ftcli / Trainer, tuned, peft", ("lora", "ftcli"), ("lora", "Trainer, tuned, peft"), 1.0),
    ("ftcli lora / Trainer, tuned, full", ("lora", "ftcli"), ("full", "Trainer, tuned"), 1.6),
    (
        "schedule: kept / prefix_cache=off",
        ("schedule", "ftcli"),
        ("schedule", "ftcli, prefix_cache=off"),
        1.6,
    ),
    ("schedule: kept / neither", ("schedule", "ftcli"), ("schedule", "plain loop, neither"), 2.5),
    (
        "schedule: kept / finetuning-scheduler",
        ("schedule", "ftcli"),
        ("schedule", "finetuning-scheduler"),
        4.0,
    ),
]
"""(name, over, under, goal)"""


def check_work(found: dict[Row, Run]) -> None:
    """Ends the program unless the tools of a part made the same steps with the same losses.

    With LoRA only the first loss is the same: each tool draws its own A, and B begins as zeros.
    """
    wrong = []
    for row, run in found.items():
        ours = next(own for other, own in found.items() if other.part == row.part and other.tool == "ours")
        for name in ("rows", "steps", "tokens", "trainable", "decayed"):
            if run[name] != ours[name]:
                wrong.append(f"{row.part}, {row.name}: {name} {run[name]}, ftcli {ours[name]}")
        allowed = SAME["bf16" if "bf16" in run["precision"] + ours["precision"] else "fp32"]
        count = 1 if row.part == "lora" else 3
        pairs = zip(ours["losses"][:count], run["losses"][:count], strict=True)
        if len(run["losses"]) != 3 or any(abs(a - b) > allowed * a for a, b in pairs):
            wrong.append(f"{row.part}, {row.name}: losses {run['losses']}, ftcli {ours['losses']}")
    if wrong:
        sys.exit("not the same work:\n" + "\n".join(wrong))


def check_counts(found: Runs) -> None:
    """Ends the program unless the timed runs of a part trained on the same tokens in the same number of steps."""
    seen: dict[str, set[tuple[int, ...]]] = {}
    for row, runs in found.items():
        seen.setdefault(row.part, set()).update((r["rows"], r["steps"], r["tokens"]) for r in runs)
    wrong = [f"{part}: {sorted(counts)}" for part, counts in seen.items() if len(counts) != 1]
    if wrong:
        sys.exit("not the same (rows, steps, tokens):\n" + "\n".join(wrong))


def training(run: Run) -> float:
    """Rows a second of steps."""
    return run["rows"] / run["training_seconds"]


def whole(run: Run) -> float:
    """Rows a second of the loop with evaluations and saves."""
    return run["rows"] / run["whole_seconds"]


def steady(run: Run) -> float:
    """Rows a second after the last step that compiled."""
    return run["steady"]["rows"] / run["steady"]["seconds"]


def write(
    bench: Bench,
    found: Runs,
    peaks: list[dict[str, float]],
    lengths: dict[str, float],
    compared: dict[Row, Run],
    accuracies: dict[Row, list[float]],
) -> None:
    """Writes and prints all there is so far."""
    check_counts(found)
    options = bench.options
    best = {name: max(peak[name] for peak in peaks) for name in peaks[0]}
    lines = [
        "# Speed: ftcli beside the Trainer, peft and finetuning-scheduler",
        "",
        *conditions_lines(bench, found, best),
        "",
        "Medians, in brackets minimum and maximum, of runs in turn; ratios run by run, above 1 where ftcli is faster. benchmarks/speed.py",
        f"says what each column counts. Dev accuracy: the last evaluation, {options.dev} rows, mean of the runs.",
        "",
        *table(HEAD, [line for row in bench.rows for line in cells(row, found, best, lengths, bench)]),
        "",
        "The goals, as ratios run by run:",
        "",
        *table(["ratio", "training", "whole loop", "goal"], goals(found)),
        "",
        "The same work: three steps on the same 32 rows without dropout, from the same weights (of LoRA only the first loss is",
        "comparable: each tool draws its own A). In a schedule a step is a phase.",
        "",
        *table(
            ["part: tool", "loss 1", "loss 2", "loss 3", "trained weights", "of them decayed"], same(compared)
        ),
    ]
    if accuracies:
        seeds = [f"seed {seed}" for seed in options.accuracy_seeds]
        lines += ["", f"Accuracy on the 872 rows of dev after one epoch of {options.accuracy_rows:,} rows:", "",
                  *table(["part: tool", *seeds, "mean", "sd"], accuracy_cells(accuracies))]  # fmt: skip
    publish("_".join(["speed", *(options.only if len(options.only) < 3 else [])]), lines)


def conditions_lines(bench: Bench, found: Runs, best: dict[str, float]) -> list[str]:
    options, probe = bench.options, bench.probe
    versions = {name: found for runs in found.values() for run in runs for name, found in run["versions"].items() if name != "torch"}  # fmt: skip
    words = [f"--rows {options.rows} --schedule-rows {options.schedule_rows} --dev {options.dev} --phase-epochs {options.phase_epochs}",
             f"--repeats {options.repeats} --only {' '.join(options.only)} --device {options.device}"]  # fmt: skip
    words += ["--no-compile"] if options.no_compile else []
    words += ["--peer-python PYTHON"] if options.peer_python else []
    words += [f"--threads {options.threads}"] if options.threads else []
    if options.accuracy_seeds:
        words.append(f"--accuracy-seeds {' '.join(map(str, options.accuracy_seeds))} --accuracy-rows {options.accuracy_rows}")  # fmt: skip
    measured = ", ".join(f"{name} {peak / 1e9:,.0f}" for name, peak in best.items())
    lines = [
        probe["conditions"] + "".join(f" {name} {number}." for name, number in sorted(versions.items())),
        f"{probe['threads']} threads; torch.matmul reaches {measured} GFLOP/s.",
        f"`python benchmarks/speed.py {' '.join(words)}`",
    ]
    if not probe["bf16"]:
        lines.append("No native bf16 here: the tuned Trainer and all others run in fp32.")
    if "schedule" in options.only and not options.peer_python:
        lines.append("Without --peer-python: finetuning-scheduler was not run.")
    return lines


def table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def ratios(over: list[Run], under: list[Run], of: Rate, under_of: Rate | None = None) -> str:
    """Returns median and spread of the ratios run by run."""
    pairs = zip(over, under, strict=True)
    return spread([of(a) / (under_of or of)(b) for a, b in pairs], 2)


def cells(
    row: Row, found: Runs, best: dict[str, float], lengths: dict[str, float], bench: Bench
) -> list[list[str]]:
    """Returns the lines of a row: one, or two where it was compiled."""
    if row.missing:
        return [[f"{row.part}: {row.name}", row.missing, *[""] * (len(HEAD) - 2)]]
    runs = found[row]
    ours = next(own for other, own in found.items() if other.part == row.part and other.tool == "ours")
    precision = runs[0]["precision"]
    ceiling = best["bf16" if "bf16" in precision else "fp32"]
    cost = operations(row.part, bench, lengths[row.part])
    rates = [run["tokens"] / run["training_seconds"] for run in runs]
    memory = spread([run["peak_bytes"] / MIB for run in runs], 0)
    if bench.options.device == "cuda":
        memory += f"; GPU {spread([run['device_bytes'] / MIB for run in runs], 0)}"
    lines = [[
        f"{row.part}: {row.name}", precision,
        spread([training(run) for run in runs], 1), "" if runs is ours else ratios(ours, runs, training),
        spread([whole(run) for run in runs], 1), "" if runs is ours else ratios(ours, runs, whole),
        f"{statistics.mean(run['accuracy'] for run in runs):.3f}",
        spread(rates, 0), f"{runs[0]['tokens']:,}", memory,
        spread([run["start_up"] for run in runs], 1), share(rates, cost, ceiling),
    ]]  # fmt: skip
    if runs[0].get("steady"):
        lines.append(warmed(row, runs, ours, cost, ceiling))
    return lines


def warmed(row: Row, runs: list[Run], ours: list[Run], cost: float, ceiling: float) -> list[str]:
    """Returns the line of what came after the warm-up, if anything did."""
    steps = spread([run["steady"]["steps"] for run in runs], 0)
    first = [f"{row.part}: {row.name}, after a warm-up of {steps} steps", runs[0]["precision"]]
    if not all(run["steady"]["rows"] for run in runs):
        return [*first, "compiling to the end", *[""] * (len(HEAD) - 3)]
    rates = [run["steady"]["tokens"] / run["steady"]["seconds"] for run in runs]
    return [*first, spread([steady(run) for run in runs], 1), ratios(ours, runs, training, steady), "", "", "",
            spread(rates, 0), "", "", "", share(rates, cost, ceiling)]  # fmt: skip


def share(rates: list[float], cost: float, ceiling: float) -> str:
    """Returns useful tokens/s x operations a token / peak, in percent."""
    return f"{100 * statistics.median(rates) * cost / ceiling:.1f} %"


def operations(part: str, bench: Bench, length: float) -> float:
    """Returns operations a useful token; a schedule's phases are of equal length."""
    encoder = Encoder.of(bench.folder / f"model-{part}", length)
    if part == "lora":
        return encoder.lora(r=8, targets=2)
    return encoder.full() if part == "full" else statistics.mean(encoder.top(k) for k in (0, 2, 4))


def goals(found: Runs) -> list[list[str]]:
    runs = {(row.part, row.name): got for row, got in found.items()}
    return [
        [name, ratios(runs[over], runs[under], training), ratios(runs[over], runs[under], whole), f"{goal:g}"]
        for name, over, under, goal in GOALS
        if over in runs and under in runs
    ]


def same(compared: dict[Row, Run]) -> list[list[str]]:
    return [
        [
            f"{row.part}: {row.name}",
            *(f"{loss:.6f}" for loss in run["losses"]),
            ", ".join(f"{count:,}" for count in run["trainable"]),
            ", ".join(f"{count:,}" for count in run["decayed"]),
        ]
        for row, run in compared.items()
    ]


def accuracy_cells(accuracies: dict[Row, list[float]]) -> list[list[str]]:
    lines = []
    for row, scores in accuracies.items():
        sd = f"{statistics.stdev(scores):.4f}" if len(scores) > 1 else ""
        shown = [f"{score:.4f}" for score in scores]
        lines.append([f"{row.part}: {row.name}", *shown, f"{statistics.mean(scores):.4f}", sd])
    return lines
