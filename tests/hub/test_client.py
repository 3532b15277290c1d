"""The hub's cache and a hub out of reach, in processes of their own: the library reads its variables when it is imported."""

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

import pytest
from model_folders import folder_with


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
    assert resolve_in_process({"id": "owner/name"}, tmp_path, HF_HUB_OFFLINE="1")[0] == "OutOfReachError"


def test_a_cache_without_weights_serves_where_config_is_enough(tmp_path: Path) -> None:
    in_cache(tmp_path, "owner/name", weights=False)
    env = {"HF_HUB_OFFLINE": "1"}
    assert resolve_in_process({"id": "owner/name"}, tmp_path, False, **env)[2] == []
    kind, key, message, _ = resolve_in_process({"id": "owner/name"}, tmp_path, True, **env)
    assert (kind, key) == ("SourceError", "model.id")
    assert "no model.safetensors" in message


def test_offline_and_not_cached(tmp_path: Path) -> None:
    kind, key, message, hint = resolve_in_process({"id": "owner/name"}, tmp_path, HF_HUB_OFFLINE="1")
    assert (kind, key) == ("OutOfReachError", "model.id")
    assert "HF_HUB_OFFLINE=1" in message
    assert "model.path=DIR" in hint


def test_a_refused_connection_is_one_error(tmp_path: Path) -> None:
    answer = resolve_in_process({"id": "gpt2"}, tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert answer[:2] == ["OutOfReachError", "model.id"]
    assert "model.path=DIR" in answer[3]


def test_a_silent_server_is_given_up(tmp_path: Path) -> None:
    """The system accepts the connection, and nobody ever answers: the time limit ends it, here a short one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        answer = resolve_in_process({"id": "gpt2"}, tmp_path, HF_ENDPOINT=endpoint, TIMEOUT_S="0.5")
    assert answer[:2] == ["OutOfReachError", "model.id"]
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
    assert answer[:2] == ["OutOfReachError", key]
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
    assert (kind, key) == ("OutOfReachError", "model.package")
    assert "is not installed, and owner/name" in message
    assert hint.splitlines()[0] == "pip install --no-deps no-such==1.0"
    in_cache(tmp_path, "owner/name")
    decisions = resolve_in_process(config, tmp_path, HF_HUB_OFFLINE="1")[3]
    assert decisions == ["the package no_such_package_here is not installed: model.id=owner/name is used"]


@pytest.mark.parametrize("name", ["a/b/c", "name with spaces", "-x", ""])
def test_a_malformed_id_is_refused_without_a_request(name: str, tmp_path: Path) -> None:
    kind, key, _, _ = resolve_in_process({"id": name}, tmp_path, HF_HUB_OFFLINE="1")
    assert (kind, key) == ("ConfigError", "model.id")


def test_a_folder_given_as_id_is_recognised(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "m")
    _, _, _, hint = resolve_in_process({"id": str(folder)}, tmp_path, HF_HUB_OFFLINE="1")
    assert hint == f"there is a folder of that name: set model.path={folder}"
