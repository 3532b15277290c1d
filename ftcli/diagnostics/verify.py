"""`ftcli verify`: what a run directory holds is what the run wrote, and its steps give the same again."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ftcli.config.check import check
from ftcli.config.saved import restored
from ftcli.diagnostics.replay import choose_span, replay
from ftcli.diagnostics.verify_files import (
    Check,
    Outcome,
    check_checkpoints,
    check_files,
    check_metrics,
    check_others,
    in_one_line,
    read_events,
)
from ftcli.diagnostics.verify_sources import compare_sources, compare_without_rows, why_absent
from ftcli.errors import FtcliError
from ftcli.plan.differences import plan_differences
from ftcli.run.encode import describe_data
from ftcli.run.resume import continued_session
from ftcli.run.run_dir import RunDir
from ftcli.run.session import RunSession
from ftcli.storage.run_files import read_record

if TYPE_CHECKING:
    from ftcli.checkpoint.checkpoint import Checkpoint
    from ftcli.console.console import Screen

RECORDS = ("plan.json", "data.json", "environment.json")
SOURCES, STEPS = "rows, model and plan", "steps taken again"


def verify_run(name: str, screen: Screen, *, steps: int | None) -> dict[str, Any]:
    """Checks a run, or each member of several seeds, and prints what was checked and what was not.

    Args:
        name: of the run.
        screen: where the table goes.
        steps: the most optimizer steps to take again; None: as many as lie between two log lines.

    Returns:
        `holds`, and the checks of each run.
    """
    run = RunDir.find(name)
    checks = {str(run.path): _checks(run, screen, steps)}
    seeds = _seeds(run)
    for seed in seeds:
        member = RunDir(run.path / f"seed-{seed}")
        checks[str(member.path)] = _checks(member, screen, steps)
    for path, found in checks.items():
        screen.table(
            f"verify {path}",
            ["what", "result", "found"],
            [(c.what, c.outcome.value, c.detail) for c in found],
        )
    wrong = [one for found in checks.values() for one in found if one.outcome is Outcome.differs]
    screen.note(
        f"{len(wrong)} differ: this is not what the run wrote"
        if wrong
        else "all that was checked is what the run wrote"
    )
    return {
        "holds": not wrong,
        "runs": {path: [asdict(one) for one in found] for path, found in checks.items()},
    }


def _seeds(run: RunDir) -> list[int]:
    try:
        return restored(run.config_yaml, []).config.seeds
    except FtcliError:  # said by the check of the file
        return []


def _checks(run: RunDir, screen: Screen, steps: int | None) -> list[Check]:
    """Returns the checks of one run, in the order in which they are made."""
    found = check_files(run)
    if any(one.outcome is Outcome.differs for one in found) and not run.config_yaml.is_file():
        return found
    intact, said = check_checkpoints(run)
    found += [*said, *check_metrics(run), *check_others(run)]
    if _seeds(run):
        return [*found, Check(STEPS, Outcome.unchecked, "its members are: see below")]
    return [*found, *_again(run, intact, screen, steps)]


def _again(run: RunDir, intact: list[Checkpoint], screen: Screen, steps: int | None) -> list[Check]:
    """Builds the run again, compares rows, tokenizer, model and plan, and takes steps again."""
    try:
        composed = restored(run.config_yaml, [])
        recorded = {name: read_record(run.path / name) for name in RECORDS}
    except FtcliError as error:
        return [Check(SOURCES, Outcome.differs, in_one_line(error))]
    data, decided = recorded["data.json"], recorded["environment.json"]["decisions"]
    try:
        check(composed)
        session = continued_session(composed, data, decided, notes=screen.notes)
        checks = compare_sources(data, describe_data(session.inputs, session.tables))
        lines = plan_differences(recorded["plan.json"], session.built.plan.to_json())
    except FtcliError as error:
        if not (reason := why_absent(composed.config, data, error)):
            return [Check(SOURCES, Outcome.differs, in_one_line(error))]
        left = compare_without_rows(composed, data, decided)
        return [*left, Check(SOURCES, Outcome.unchecked, reason), Check(STEPS, Outcome.unchecked, reason)]
    checks.append(
        Check("plan", Outcome.differs, lines[0]) if lines else Check("plan", Outcome.same, "built again")
    )
    if any(one.outcome is Outcome.differs for one in checks):
        return [*checks, Check(STEPS, Outcome.unchecked, "the run cannot be built as it was")]
    return [*checks, *_replayed(run, session, intact, recorded["environment.json"], steps)]


def _replayed(
    run: RunDir, session: RunSession, intact: list[Checkpoint], environment: dict[str, Any], steps: int | None
) -> list[Check]:
    """Takes steps again and compares them, where this machine computes as the run's did."""
    what = STEPS
    if reason := _other_machine(environment, session):
        return [Check(what, Outcome.unchecked, f"not comparable bit for bit: {reason}")]
    events = read_events(run)
    most = steps if steps is not None else max(session.config.trainer.log_every_n_steps, 10)
    span = choose_span(intact, events, most)
    if span is None:
        return [
            Check(
                what,
                Outcome.unchecked,
                f"nothing is recorded within {most} steps of a checkpoint: type --steps N",
            )
        ]
    if span.begin is None and session.built.start_from is not None:
        return [Check(what, Outcome.unchecked, "the run began from another run's weights")]
    try:
        result = replay(run, session, span, events)
    except FtcliError as error:
        return [Check(what, Outcome.differs, in_one_line(error))]
    taken = f"steps {span.step + 1} to {span.end}"
    if result.different:
        return [Check(what, Outcome.differs, f"{taken}: {one}") for one in result.different[:5]]
    if result.impossible or not result.compared:
        return [
            Check(what, Outcome.unchecked, f"{taken}: {result.impossible or 'nothing was recorded of them'}")
        ]
    return [Check(what, Outcome.same, f"{taken}: {' and '.join(result.compared)}, bit for bit")]


def _other_machine(environment: dict[str, Any], session: RunSession) -> str:
    """Returns why this machine need not compute the same bits as the run's; empty where it must."""
    from ftcli.runtime.environment import environment as describe

    runtime = session.runtime
    now = describe(runtime.record())
    device = environment["decisions"].get("device")
    if device != runtime.device:
        return f"the run was trained on {device}, this is {runtime.device}"
    if device != "cpu":
        return f"kernels on {device} add in no fixed order"
    then_packages, packages = environment.get("packages", {}), now["packages"]
    pairs = [("ftcli", environment.get("ftcli"), now["ftcli"]), ("cpu", environment.get("cpu"), now["cpu"]),
             ("threads", environment["decisions"].get("threads"), runtime.threads),
             *((name, then_packages.get(name), packages[name]) for name in ("torch", "transformers", "peft"))]  # fmt: skip
    return next((f"{name} was {then}, is {here}" for name, then, here in pairs if then != here), "")
