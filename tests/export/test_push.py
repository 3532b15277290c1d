"""Pushing: a hub of our own on this machine, in a process of its own, as endpoint and token are read at import."""

import base64
import http.server
import json
import os
import subprocess
import sys
import threading

import pytest

TOKEN = "hf_" + "x" * 30
PROGRAM = """
import sys
from pathlib import Path
from ftcli.errors import FtcliError
from ftcli.export.push import push, require_hub
try:
    require_hub(sys.argv[1])
    print(push(Path(sys.argv[2]), sys.argv[1]))
except FtcliError as error:
    print(error.exit_code, error, error.problems[0].hint)
"""


class Hub(http.server.BaseHTTPRequestHandler):
    """The hub's answers to making a repository and committing files to it."""

    def log_message(self, *arguments):
        pass

    def answer(self, values, code=200, **headers):
        body = json.dumps(values).encode()
        self.send_response(code)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **headers,
        }.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.server.seen.append(("GET", self.path, self.headers.get("Authorization"), b""))
        self.answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        self.server.seen.append(("POST", self.path, self.headers.get("Authorization"), body))
        here = f"http://127.0.0.1:{self.server.server_address[1]}"
        if self.server.refuses:
            self.answer({"error": "You may not"}, 403)
        elif self.path == "/api/repos/create":
            self.answer({"url": f"{here}/me/mine", "id": "1", "name": "me/mine"})
        elif "/preupload/" in self.path:
            files = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]]  # fmt: skip
            self.answer({"files": files})
        elif "/commit/" in self.path:
            self.answer(
                {"success": True, "commitOid": "0" * 40, "commitUrl": f"{here}/me/mine/commit/{'0' * 40}"}
            )
        else:
            self.answer({"errors": [], "warnings": []})


@pytest.fixture
def hub():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        server.seen, server.refuses = [], False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def pushed(folder, home, **environment) -> str:
    own = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_TELEMETRY": "1"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run([sys.executable, "-c", PROGRAM, "me/mine", str(folder)], capture_output=True, text=True,
                          env=kept | own | environment, timeout=60, check=True)  # fmt: skip
    assert TOKEN not in done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "README.md").write_text("---\nlibrary_name: peft\n---\n# a\n")
    (out / "model.safetensors").write_bytes(b"12345678")
    return out


def test_a_folder_is_committed_to_a_private_repository_with_the_users_token(hub, folder, tmp_path):
    said = pushed(folder, tmp_path / "home", HF_ENDPOINT=f"http://127.0.0.1:{hub.server_address[1]}")
    assert said.strip().endswith("/me/mine")
    bodies = {path: body for method, path, _, body in hub.seen if method == "POST"}
    made = json.loads(bodies["/api/repos/create"])
    assert made.get("private") is True or made["visibility"] == "private"
    [commit] = [body for path, body in bodies.items() if "/commit/" in path]
    lines = [json.loads(line) for line in commit.splitlines()]
    files = {
        line["value"]["path"]: base64.b64decode(line["value"]["content"])
        for line in lines
        if line["key"] == "file"
    }
    assert files == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {token for _, _, token, _ in hub.seen if token} == {f"Bearer {TOKEN}"}
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(TOKEN.encode() in path.read_bytes() for path in written)


def test_export_pushes_what_it_proved(hub, train, tmp_path):
    run, out = train("sequence-classification", "bert", "peft=lora", "peft.r=4"), tmp_path / "exported"
    own = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0", "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_TELEMETRY": "1",
           "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_address[1]}"}  # fmt: skip
    done = subprocess.run([sys.executable, "-m", "ftcli", "export", str(run), str(out), "--push", "me/mine", "--base", "me/base"],
                          capture_output=True, text=True, env=os.environ | own, timeout=240)  # fmt: skip
    assert done.returncode == 0 and "me/mine" in done.stdout, done.stderr
    [commit] = [body for method, path, _, body in hub.seen if method == "POST" and "/commit/" in path]
    lines = [json.loads(line) for line in commit.splitlines()]
    sent = {line["value"]["path"] for line in lines if line["key"] == "file"}
    assert sent == {path.name for path in out.iterdir()} >= {"adapter_model.safetensors", "README.md"}
    kept = [path for place in (run, tmp_path) for path in place.rglob("*") if path.is_file()]
    assert kept and not any(TOKEN.encode() in path.read_bytes() for path in kept)
    assert TOKEN not in done.stdout + done.stderr


def test_a_hub_that_refuses_is_reported_with_the_folder_kept(hub, folder, tmp_path):
    hub.refuses = True
    said = pushed(folder, tmp_path / "home", HF_ENDPOINT=f"http://127.0.0.1:{hub.server_address[1]}")
    assert said.startswith("2 --push: the hub does not take it") and f"hf upload me/mine {folder}" in said


def test_nobody_home_and_nobody_logged_in(folder, tmp_path):
    said = pushed(folder, tmp_path / "home", HF_ENDPOINT="http://127.0.0.1:9")
    assert said.startswith("2 --push: the hub does not take it")
    assert "nobody is logged in" in pushed(folder, tmp_path / "home", HF_TOKEN="")
