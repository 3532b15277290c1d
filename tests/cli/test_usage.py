"""What the parser refuses, a folder that is gone and hostile characters: one panel, nothing raw on the terminal."""

import os
import subprocess
import sys

import pytest

from ftcli.console.console import MAX_PROBLEMS, Screen, error_panel, json_text, safe
from ftcli.errors import ConfigError, Problem, typed_words

RAW = ("\x1b", "\x07", "\x9b", "\u202e", "\u2066", "\ufeff", "\U000e0041", "\r", "\udcff")


@pytest.mark.parametrize(("words", "said"), [
    (["trian"], "did you mean train?"), (["expotr", "a"], "did you mean export or doctor?"), (["nothing-like-it"], "there is check-data"),
    (["export", "a", "b", "--mrege"], "did you mean --merge?"), (["runs", "--jsno"], "did you mean --json?"), (["compare", "--x"], "ftcli compare --help"),
    (["list", "--foo-bar"], "ftcli list --help"), (["--verison"], "did you mean --version?"), (["export"], "Missing argument 'RUN'"),
    (["export", "a", "b", "c"], "unexpected extra argument"), (["export", "a", "b", "--dtype", "x"], "not one of 'float32'"),
    (["train", "--quite"], "did you mean --quiet?"), (["predict"], "Missing"), (["verify", "--steps", "many", "x"], "--steps"),
])  # fmt: skip
def test_every_refusal_of_the_parser_is_one_panel(ftcli, words, said):
    done = ftcli(*words)
    assert (
        done.code == 2
        and done.err.count("╭") == 1
        and "Usage" not in done.err
        and "Traceback" not in done.err
    )
    assert said in " ".join(done.err.replace("│", " ").split())


def test_help_and_version_end_well(ftcli):
    assert ftcli("--version").code == 0 and ftcli("train", "--help").code == 0
    bare = ftcli()
    assert bare.code == 2 and "Commands" in bare.out + bare.err


@pytest.mark.parametrize("words", [["tr\x1b[2Jn"], ["export", "--\x9b31m"], ["train", "--\u202ex"], ["train", "model=\x1b]0;x\x07"], ["train", "recipe=a\udcff"],
                                   ["train", "[red]x[/red]"], ["runs", "\udcff"], ["explain", "x=\ufeff"], ["train", "optimizer=\U000e0041"]])  # fmt: skip
def test_words_with_control_characters_are_shown_as_escapes(ftcli, words):
    done = ftcli(*words)
    assert done.code == 2 and not any(raw in done.err + done.out for raw in RAW)


def test_markup_in_a_word_is_text(ftcli):
    assert "[red]x[/red]" in ftcli("train", "[red]x[/red]").err


def test_a_panel_shows_a_bounded_number_of_problems():
    problems = [Problem(f"key{n}", "wrong") for n in range(MAX_PROBLEMS + 7)]
    text = error_panel(ConfigError(*problems)).renderable
    assert "and 7 more" in str(text) and f"key{MAX_PROBLEMS}" not in str(text)


def test_everything_a_screen_writes_is_escaped(capsys, tmp_path):
    hostile = "a\x1b[2J\x9b\u202e\U000e0041[red]b[/red]"
    event = {"event": "train", "step": 1, "epoch": 0.5, "phase": 0, "loss": 1.0, "lr": {f"phase0.{hostile}": 1e-3}, "rows_per_s": 1.0, "tokens_per_s": 1.0,
             "memory_bytes": 0, "seconds_per_step": 0.0}  # fmt: skip
    screen = Screen()
    screen.log_to(tmp_path / "train.log")
    screen.note(hostile)
    screen.heading(hostile)
    screen.styled([(hostile, "bold")], before=(hostile, ""))
    screen.table(hostile, [hostile], [[hostile]])
    screen.train(event, 2)
    screen.evaluation({"event": "eval", "step": 1, "epoch": 1.0, hostile: 0.5}, best=False)
    screen.close()
    Screen(as_json=True).result({hostile: hostile})
    written = "".join(capsys.readouterr()) + (tmp_path / "train.log").read_text()
    assert not any(raw in written for raw in RAW) and "[red]b[/red]" in written
    assert (
        json_text({"a": "\U000e0041\x9b"}) == '{"a": "\\udb40\\udc41\\u009b"}'
        and safe("\U000e0041") == "\\U000e0041"
    )


def test_a_folder_that_is_gone(tmp_path):
    code = "import os, sys, shutil; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone'); sys.argv = ['ftcli', 'train']; from ftcli.cli.app import main; main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))  # fmt: skip
    assert (
        done.returncode == 2 and "does not exist any more" in done.stderr and "Traceback" not in done.stderr
    )


def test_a_terminal_without_unicode(tmp_path):
    environment = dict(os.environ, PYTHONIOENCODING="ascii", PYTHONPATH=os.pathsep.join(sys.path))
    done = subprocess.run(
        [sys.executable, "-m", "ftcli", "train", "recipe=größe"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 2 and "gr\\xf6\\xdfe" in done.stderr and "Traceback" not in done.stderr


def test_typed_words_come_back_from_a_shell():
    words = ["--run-dir", "my runs/it's $HOME", "data.path=a b"]
    shown = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {typed_words(*words)}"], capture_output=True, text=True, check=True
    )
    assert shown.stdout.splitlines() == words
