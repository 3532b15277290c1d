"""Where runs go and how they are found."""

import json
import os
import signal
import stat
from pathlib import Path

import pytest
from children import in_child
from run_dirs import make_run

from ftcli.errors import RunDirError
from ftcli.inference.output_file import write_new_text
from ftcli.run.run_dir import LEFTOVERS, RunDir
from ftcli.storage.manifest import file_sha256
from ftcli.storage.new_file import require_writable
from ftcli.storage.run_files import read_record, read_text

# Python 3.12 and later warn of every fork beside torch's threads; the children here start none.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# where a run goes


def test_a_new_run_gets_a_time_and_an_id(here):
    with RunDir.create("sst2-full", run_dir=None) as run:
        run.write_text("config.yaml", "seed: 1\n")
    assert run.path.parent == Path("runs/sst2-full")
    day, clock, own = run.path.name.split("-")
    assert len(day) == 8 and len(clock) == 6 and int(own, 16) >= 0 and len(own) == 6
    assert RunDir.find("last").path == run.path


@pytest.mark.parametrize("place", [None, "given", "deep/er/given"])
def test_a_start_that_fails_leaves_nothing(here, place):
    with pytest.raises(ZeroDivisionError), RunDir.create("recipe", run_dir=place and Path(place)) as run:
        run.write_json("plan.json", {})
        run.checkpoints.mkdir()
        raise ZeroDivisionError
    assert list(here.iterdir()) == []


def test_a_start_that_fails_in_a_folder_that_was_there_leaves_the_folder(here):
    Path("given").mkdir()
    with pytest.raises(ZeroDivisionError), RunDir.create("recipe", run_dir=Path("given")) as run:
        run.write_json("plan.json", {})
        raise ZeroDivisionError
    assert list(Path("given").iterdir()) == []


def test_a_run_that_fails_later_is_kept(here):
    with pytest.raises(ZeroDivisionError), RunDir.create("recipe", run_dir=Path("given")) as run:
        run.write_text("config.yaml", "seed: 1\n")
        raise ZeroDivisionError
    assert RunDir.existing(Path("given")).config_yaml.read_text() == "seed: 1\n"


def test_a_folder_that_holds_a_run_is_refused(here):
    make_run(Path("given"))
    with pytest.raises(RunDirError, match="holds a run already") as caught:
        RunDir.probe("recipe", run_dir=Path("given"))
    assert "ftcli resume given" in caught.value.problems[0].hint and caught.value.exit_code == 2


@pytest.mark.parametrize("names", [["notes.txt"], [".lock", "notes.txt"], ["plan.json"], [".git", ".lock"]])
def test_a_folder_with_other_files_is_refused_and_untouched(here, names):
    Path("given").mkdir()
    for name in names:
        Path("given", name).write_text("mine")
    with (
        pytest.raises(RunDirError, match="is not empty and holds no run"),
        RunDir.create("recipe", run_dir=Path("given")),
    ):
        pytest.fail("the block must not run")
    assert sorted(p.name for p in Path("given").iterdir()) == sorted(names)


@pytest.mark.parametrize("written", range(len(LEFTOVERS)))
def test_a_start_killed_before_its_mark_can_be_started_again(here, written):
    def work() -> int:
        with RunDir.create("recipe", run_dir=Path("given")) as run:
            for name in sorted(LEFTOVERS - {".lock"})[:written]:
                run.write_json(name, {"old": True})
            (run.path / f".stage-config.yaml-{os.getpid()}").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    assert in_child(work) == -signal.SIGKILL
    assert RunDir.existing(Path("given")) is None and RunDir.all() == []
    with RunDir.create("recipe", run_dir=Path("given")) as run:
        run.write_text("config.yaml", "seed: 1\n")
    assert not [p.name for p in Path("given").iterdir() if p.name.startswith(".stage")]


@pytest.mark.parametrize(
    "place", ["/dev/null/run", "file/run", "file", "dangling", "x" * 300, "~no-such-user-here/run"]
)
def test_places_where_nothing_can_be_written_are_found_before_training(here, place):
    Path("file").write_text("x")
    Path("dangling").symlink_to("nowhere")
    with pytest.raises(RunDirError) as caught:
        RunDir.probe("recipe", run_dir=Path(place))
    assert place in str(caught.value) and caught.value.exit_code == 2
    assert sorted(p.name for p in here.iterdir()) == ["dangling", "file"]


def test_a_folder_without_permission_is_refused(here):
    Path("locked").mkdir()
    Path("locked/run").mkdir()
    Path("locked").chmod(stat.S_IRUSR | stat.S_IXUSR)
    Path("locked/run").chmod(stat.S_IRUSR | stat.S_IXUSR)

    def work() -> int:
        if os.geteuid() == 0:  # who may write everywhere
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        refused = 0
        for place in ("locked/new", "locked/run"):
            try:
                RunDir.probe("recipe", run_dir=Path(place))
            except RunDirError as error:
                refused += place in str(error) and "is not writable" in str(error)
        return refused

    assert in_child(work) == 2
    Path("locked").chmod(stat.S_IRWXU)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="Linux only")
def test_a_file_system_that_takes_no_folders_ends_in_one_panel():
    with (
        pytest.raises(RunDirError, match="/proc/ftcli"),
        RunDir.create("recipe", run_dir=Path("/proc/ftcli")),
    ):
        pytest.fail("the block must not run")


def test_probing_writes_nothing(here):
    target = RunDir.probe("recipe", run_dir=None)
    assert target.parent == Path("runs/recipe") and list(here.iterdir()) == []


def test_files_to_write(here):
    write_new_text(Path("a/b/out.yaml"), "x")
    assert Path("a/b/out.yaml").read_text() == "x"
    require_writable(Path("a/b/out.yaml"))
    with pytest.raises(RunDirError, match="is a folder"):
        require_writable(Path("a/b"))
    with pytest.raises(RunDirError, match="no folder"):
        require_writable(Path("a/b/out.yaml/c"))


# how runs are found


def test_runs_are_found_by_path_prefix_id_and_last(here):
    first = make_run(Path("runs/a/20260101-120000-abc123"))
    second = make_run(Path("runs/b/20260101-120001-abd456"))
    for name in (str(first.path), "20260101-120000", "abc", "abc123", "20260101-120000-abc123"):
        assert RunDir.find(name).path == first.path
    assert RunDir.find("last").path == second.path
    assert [run.path for run in RunDir.all()] == [first.path, second.path]


def test_what_fits_two_runs_lists_both(here):
    make_run(Path("runs/a/20260101-120000-abc123"))
    make_run(Path("runs/b/20260101-120001-abd456"))
    with pytest.raises(RunDirError) as caught:
        RunDir.find("ab")
    assert "abc123" in str(caught.value) and "abd456" in str(caught.value)


def test_an_unknown_run_names_the_nearest(here):
    make_run(Path("runs/a/20260101-120000-abc123"))
    with pytest.raises(RunDirError) as caught:
        RunDir.find("abc132")
    assert caught.value.problems[0].hint == "did you mean abc123?"
    for name in ("", "zzzz", "x" * 5000, "runs", "last/"):
        with pytest.raises(RunDirError, match="there is no run"):
            RunDir.find(name)


def test_without_runs_last_is_unknown(here):
    with pytest.raises(RunDirError, match="there is no run 'last'"):
        RunDir.find("last")


def test_half_written_folders_are_no_runs(here):
    Path("runs/a/20270101-120000-abc123").mkdir(parents=True)
    Path("runs/a/20270101-120000-abc123/plan.json").write_text("{}")
    make_run(Path("runs/a/20260101-120000-abc124"))
    assert [run.path.name for run in RunDir.all()] == ["20260101-120000-abc124"]


def test_last_is_the_latest_start_whatever_its_name(here):
    """Two of one second, a name given with --run-dir, and a clock that was a day off when files were touched."""
    noon = 1_767_268_800 * 10**9  # 2026-01-01 12:00:00 UTC
    later = make_run(Path("runs/a/20260101-120000-000001"), noon + 5)
    earlier = make_run(Path("runs/a/20260101-120000-ffffff"), noon + 2)
    named = make_run(Path("runs/a/zebra"), noon - 60 * 10**9)
    assert [run.path for run in RunDir.all()] == [named.path, earlier.path, later.path]
    os.utime(later.config_yaml, ns=(noon - 86_400 * 10**9,) * 2)
    assert RunDir.find("last").path == later.path


# what is recorded


def test_json_is_replaced_whole(here):
    run = make_run(Path("given"))
    for value in ({"b": 1, "a": "gr\u00fcn"}, {"b": 2}):
        run.write_json("result.json", value)
        assert json.loads(run.result_json.read_text()) == value
    assert run.is_finished() and run.result_json.read_text() == '{\n  "b": 2\n}\n'


def test_a_link_that_was_left_while_last_was_replaced_is_swept_and_others_are_refused(here):
    """A kill between making the temporary link and renaming it: the run is resumed all the same."""
    run = make_run(Path("given"))
    (run.checkpoints / "step-000002").mkdir(parents=True)
    left = run.checkpoints / ".stage-last-99"
    left.symlink_to("step-000002")
    with run.locked():
        assert not left.is_symlink()
    (here / "elsewhere").mkdir()
    (here / "elsewhere" / ".stage-mine").touch()
    run.predictions.symlink_to(here / "elsewhere")
    with pytest.raises(RunDirError, match="is a link"), run.locked():
        pass
    assert (here / "elsewhere" / ".stage-mine").exists()


@pytest.mark.parametrize("name", ["caf\udce9.csv", "\ud800", "a\u2028b\x1b[31m\0", "\ud83d and \ude00"])
def test_json_with_bytes_that_are_not_utf8_or_halves_of_characters_is_read_back(here, name):
    """Names of files may hold any bytes, and JSON any half of a character."""
    run = make_run(Path("given"))
    values = {"labels": [name], "parts": {"train": {"origin": name, "sha256": "0", "rows": 1}}, "task": {},
              "tokenizer": {"fingerprint": "0"}, "model": {"origin": name, "fingerprint": "0"}}  # fmt: skip
    run.write_json("data.json", values)
    assert read_record(run.data_json) == values
    assert file_sha256(run.data_json) in read_record(run.hashes_json)["data.json"]
    run.write_text("command.txt", f"ftcli train {name}\n")
    assert read_text(run.command_txt) == f"ftcli train {name}\n".encode(errors="backslashreplace").decode()


def test_a_folder_whose_path_is_not_utf8_holds_no_run(here):
    """Weights could be written there and never be read: safetensors takes no such path."""
    for path in (Path(os.fsdecode(b"caf\xe9")), Path(os.fsdecode(b"caf\xe9")) / "run"):
        with pytest.raises(RunDirError, match="has a path that is not UTF-8"):
            RunDir.probe("own", run_dir=path)
    (here / os.fsdecode(b"caf\xe9")).mkdir()
    os.chdir(os.fsencode(here) + b"/caf\xe9")
    with pytest.raises(RunDirError, match="has a path that is not UTF-8"):
        RunDir.probe("own", run_dir=None)
