"""The command line: one module a command, heavy imports inside them, so that --help is instant."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ftcli import __version__
from ftcli.cli import check, compare, explain, export, inspect, run, score, verify
from ftcli.cli.usage import UsageError, as_ours, require_folder, unknown_command
from ftcli.errors import (
    DISK_FAILS,
    DISK_FULL,
    OUT_OF_REACH,
    FtcliError,
    MachineError,
    NoRoomError,
    Problem,
    is_out_of_memory,
    typed_words,
)
from ftcli.runtime import garbage_collection as collector
from ftcli.runtime.stopping import Stopped, raising_stopped
from ftcli.runtime.timers import process_began

NO_MEMORY = (
    "close other programs, or type a smaller trainer.micro_batch_size or trainer.eval_batch_size; "
    "ftcli resume RUN goes on from the newest checkpoint"
)


class Commands(TyperGroup):
    """The commands; one of another tool, such as `finetune`, is answered with ours."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Returns what the group of Typer does.

        Raises:
            ConfigError: a command that is known by another name here.
            CommandLineError: a command that there is not.
        """
        if args and self.get_command(ctx, args[0]) is None:
            from ftcli.config.foreign.words import command_hint
            from ftcli.errors import ConfigError, Problem

            if hint := command_hint(args[0]):
                raise ConfigError(Problem(args[0], "there is no such command", hint))
            if not args[0].startswith("-"):
                raise unknown_command(args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="ftcli",
    cls=Commands,
    help="Fine-tune a pretrained transformer the disciplined way.\n\n"
    "Words (a.b=c, group=choice) change what is trained; flags change how the command runs.\n\n"
    "Example: ftcli train recipe=sst2-lora model=minilm data.path=DIR optimizer.lr=5e-4",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

WORDS = {"ignore_unknown_options": True}
"""An unknown flag is passed on as a word, so that the check of overrides can say what to type instead."""

app.command("train", context_settings=WORDS)(run.train)
app.command("resume", context_settings=WORDS)(run.resume)
app.command("overfit-batch", context_settings=WORDS)(check.overfit_batch)
app.command("check-data", context_settings=WORDS)(check.check_data)
app.command("generate-schedule", context_settings=WORDS)(check.generate_schedule)
app.command("explain", context_settings=WORDS)(explain.explain)
app.command("evaluate", context_settings=WORDS)(score.evaluate)
app.command("predict", context_settings=WORDS)(score.predict)
app.command("export")(export.export)
app.command("verify")(verify.verify)
app.command("runs")(compare.runs)
app.command("compare")(compare.compare)
app.command("list")(inspect.list_)
app.command("config", context_settings=WORDS)(inspect.config)
app.command("doctor")(inspect.doctor)


def _version(asked: bool) -> None:
    if asked:
        print(f"ftcli {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the command's name."""


def main() -> None:
    """Runs the command line; every error that a user can cause ends in one panel and a documented exit code."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    collector.relax()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what its encoding lacks is written as an escape
            stream.reconfigure(errors="backslashreplace")
    try:
        require_folder()
        with raising_stopped():
            # Not standalone: Typer would print its own box for what its parser refuses.
            code = app(obj=process_began(), standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except FtcliError as error:
        _panel(error)
        sys.exit(error.exit_code)
    except UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # a bare `ftcli`: Typer has printed the help
            sys.exit(2)
        _panel(as_ours(error))
        sys.exit(2)
    except typer.Abort:
        sys.exit(1)
    except KeyboardInterrupt:
        # A training run handles the signal itself and says what it saved; this is every other command.
        sys.stderr.write("\nstopped\n")
        sys.exit(130)
    except Stopped as stopped:
        sys.stderr.write(f"\nstopped by {stopped}\n")
        sys.exit(stopped.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except (MemoryError, RuntimeError, OSError) as error:
        failure = _failure_of_machine(error)
        if failure is None:
            raise
        _panel(failure)
        sys.exit(failure.exit_code)


def _failure_of_machine(error: Exception) -> FtcliError | None:
    """Returns the error to show where memory, disk, descriptors or levels ran out; None for what is a defect of ours.

    What could say which part did not fit has done so before; this is every other place.
    """
    if isinstance(error, RecursionError):
        hint = "look for a JSON or YAML file that is not what its name says"
        return FtcliError(Problem("input", "a file is nested too deep to be read", hint))
    if is_out_of_memory(error):
        return NoRoomError(Problem("memory", "ran out", NO_MEMORY))
    if isinstance(error, OSError) and error.errno in (*DISK_FULL, *DISK_FAILS):
        hint = "make room and type the command again; ftcli resume RUN continues a run that was training"
        return MachineError(Problem(str(error.filename or "the machine"), str(error.strerror), hint))
    if isinstance(error, FileNotFoundError) and "temporary directory" in str(error.strerror):
        hint = "make room there, or type export TMPDIR=DIR with a folder that can be written"
        return MachineError(Problem("temporary files", str(error.strerror), hint))
    if isinstance(error, OSError) and error.errno in OUT_OF_REACH and error.filename is not None:
        place = os.fsdecode(error.filename)
        hint = f"look at it, and at the folders it lies in: ls -ld {typed_words(place)}"
        return FtcliError(Problem(place, f"cannot be used: {error.strerror}", hint))
    return None


def _panel(error: FtcliError) -> None:
    try:
        from rich.console import Console

        from ftcli.console.console import error_panel

        Console(stderr=True, highlight=False).print(error_panel(error))
    except MemoryError:  # not even a panel fits
        sys.stderr.write("".join(f"{p.key} {p.message!a}: {p.hint!a}\n" for p in error.problems))


if __name__ == "__main__":
    main()
