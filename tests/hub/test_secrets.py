"""Twelve canary secrets, in the environment and in files of the home, and a hub on this machine that records every byte it is sent."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_models

VARIABLES = (
    "AWS_SECRET_ACCESS_KEY",
    "GITHUB_TOKEN",
    "DATABASE_URL",
    "OPENAI_API_KEY",
    "WANDB_API_KEY",
    "CI_JOB_TOKEN",
    "PASSWORD",
)
FILES = (".netrc", ".ssh/id_ed25519", ".aws/credentials", ".config/secret.yaml")
ENVIRONMENT = {name: f"canary-variable-{i}-kx7q" for i, name in enumerate(VARIABLES)}
AT_HOME = {name: f"canary-file-{i}-kx7q" for i, name in enumerate(FILES)}
TOKEN = "hf_canary-token-kx7q"
CANARIES = [*ENVIRONMENT.values(), *AT_HOME.values(), TOKEN]

RUNNER = """
import json, sys
from ftcli.cli.app import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["ftcli", *words]
    try:
        main()
        code = 0
    except SystemExit as stopped:
        code = stopped.code or 0
    print("CODE", code, flush=True)
"""


@pytest.fixture(scope="module")
def hub() -> Iterator[tuple[str, list[bytes]]]:
    """A hub that has nothing: its address, and the requests it got, whole."""
    requests: list[bytes] = []

    class Hub(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            requests.append(f"{self.requestline}\n{self.headers}".encode() + body)
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815 - the names that the server looks up

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", requests
        server.shutdown()


@pytest.fixture(scope="module")
def done(hub, tmp_path_factory) -> tuple[Path, list[int], str, list[int]]:
    """The working folder, exit codes, output, and how many requests there were after each command."""
    address, requests = hub
    place = tmp_path_factory.mktemp("secrets")
    home, work = place / "home", place / "work"
    for name, secret in AT_HOME.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(f"machine example.org login me password {secret}\n")
    model, rows = (
        tiny_models.write_model(work / "model", "bert"),
        tiny_models.write_rows(work / "rows", train=16, validation=8),
    )
    local = ["model=local", f"model.path={model}", "model.weights=random", "data=text", f"data.path={rows}", "trainer.max_steps=1",
             "trainer.batch_size=8", "trainer.precision=fp32", "tokenizer.max_length=24", "-q", "data.accept=[balance]"]  # fmt: skip
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TRANSFORMERS_"))
    } | ENVIRONMENT
    environment |= {"HOME": str(home), "HF_ENDPOINT": address, "HF_TOKEN": TOKEN, "FTCLI_CACHE": str(work / "cache"),
                    "HF_HOME": str(work / "hf")}  # fmt: skip

    def run(*commands: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", RUNNER, json.dumps(commands)], env=environment, cwd=work,
                              capture_output=True, text=True, check=False)  # fmt: skip

    first = run(["train", *local, "--run-dir", "run"], ["predict", "run", "--input", f"{rows}/validation.tsv", "--output", "out.csv"],
                ["export", "run", "exported"])  # fmt: skip
    assert (work / "run").is_dir(), first.stdout + first.stderr
    counts = [len(requests)]
    named = []
    for number, name in enumerate(("owner/name", "owner/${oc.env:GITHUB_TOKEN}")):
        folder = work / f"named-{number}"
        subprocess.run(["cp", "-r", str(work / "run"), str(folder)], check=True)
        text = (folder / "config.yaml").read_text()
        lines = [
            f"  id: {json.dumps(name)}" if line.startswith("  id:") else line for line in text.splitlines()
        ]
        lines = ["  path: null" if str(model) in line else line for line in lines]
        (folder / "config.yaml").write_text("\n".join(lines) + "\n")
        (folder / "result.json").unlink()
        for words in (
            ["evaluate", folder.name],
            ["resume", folder.name],
            ["export", folder.name, f"e{number}"],
            ["verify", folder.name],
        ):
            named.append(words)
    second = run(*named)
    counts.append(len(requests))
    third = run(
        ["evaluate", "named-0", "model.id=owner/name"],
        ["train", *(w for w in local if "model.path" not in w), "model.id=owner/other", "--dry-run"],
    )
    counts.append(len(requests))
    output = "".join(f"{one.stdout}{one.stderr}" for one in (first, second, third))
    codes = [
        int(line.split()[1])
        for one in (first, second, third)
        for line in one.stdout.splitlines()
        if line.startswith("CODE")
    ]
    return work, codes, output, counts


def test_a_run_directory_sends_nothing_to_the_hub_unasked(done) -> None:
    _, codes, output, counts = done
    assert codes[:3] == [0, 0, 0], output
    assert counts[:2] == [0, 0]
    assert codes[3:11] == [2, 2, 2, 3] * 2, output
    assert "named by the run directory" in output and "add model.id=owner/name to the command" in " ".join(
        output.split()
    )


def test_the_users_own_word_is_looked_up(done, hub) -> None:
    _, codes, output, counts = done
    assert codes[11:] == [2, 2] and counts[2] > 0, output
    asked = b"\n".join(hub[1])
    assert b"owner/name" in asked and b"owner/other" in asked


def test_no_secret_is_sent_but_the_hubs_own_token_as_such(done, hub) -> None:
    for request in hub[1]:
        lines = [
            line for line in request.split(b"\n") if not line.lower().startswith(b"authorization: bearer ")
        ]
        for secret in CANARIES:
            assert secret.encode() not in b"\n".join(lines)
        assert all(secret.encode() not in request for secret in CANARIES if secret != TOKEN)


def test_no_secret_is_written_or_printed(done) -> None:
    work, _, output, _ = done
    assert len(CANARIES) == 12 and all(secret not in output for secret in CANARIES)
    files = [file for file in work.rglob("*") if file.is_file()]
    assert len(files) > 30
    for file in files:
        content = file.read_bytes()
        assert all(secret.encode() not in content for secret in CANARIES), file
