"""Bytes read as a file of the current folder, so that messages name it without a path."""

from pathlib import Path

import pytest

from ftcli.data.reading import DEFAULTS, read_file


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def read_bytes(data, name, options=DEFAULTS):
        Path(name).write_bytes(data)
        return read_file(Path(name), "data.path", options)

    return read_bytes
