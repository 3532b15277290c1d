"""Files as streams of bytes: compression taken off, and what is no file refused before it is read."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ftcli.config.regular_file import expanded, is_file, is_folder, kind_of
from ftcli.config.shell_word import shell_word
from ftcli.data.bounds import Watch
from ftcli.errors import DataError, FtcliError, Problem, SourceError, nearest, typed_words

CHUNK_BYTES = 1 << 16
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zip", ".zst")
MAGIC = {
    b"\x1f\x8b": ".gz",
    b"BZh": ".bz2",
    b"\xfd7zXZ": ".xz",
    b"PK\x03\x04": ".zip",
    b"\x28\xb5\x2f\xfd": ".zst",
}
"""First bytes of compressed files."""
DAMAGE = (
    EOFError, OSError, ValueError, RuntimeError, NotImplementedError, zlib.error, lzma.LZMAError, zipfile.BadZipFile,
)  # fmt: skip
"""What the decompressors raise on a file that is cut, damaged, encrypted or not theirs."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file whose bytes can be read."""

    origin: str
    """How messages name it."""
    open: Callable[[], IO[bytes]]
    """Returns its bytes from the beginning, decompressed."""
    again: bool = True
    """Whether it can be opened more than once."""
    close: Callable[[], None] = lambda: None
    """Lets go of what was kept so that it can be opened again."""

    def chunks(self) -> Iterator[bytes]:
        """Yields its bytes.

        Raises:
            DataError: it cannot be read to its end, or not within the bounds of `ftcli.data.bounds`.
        """
        try:
            with self.open() as stream:
                watch = Watch(self.origin, stream.consumed if isinstance(stream, Unpacking) else None)
                while chunk := stream.read(CHUNK_BYTES):
                    watch.add(len(chunk))
                    yield chunk
        except FtcliError:
            raise
        except DAMAGE as error:
            hint = "fetch the file again, or take the suffix off its name if it is not compressed"
            packed = Path(self.origin).suffix in COMPRESSIONS
            message = f"cannot be read: {_reason(error)}"
            raise DataError(Problem(self.origin, message, hint if packed else "")) from error


def split_name(file: Path) -> tuple[str, str, str]:
    """Returns (stem, suffix of the format, suffix of the compression or ''): `train.csv.gz` -> train, .csv, .gz."""
    if file.suffix not in COMPRESSIONS:
        return file.stem, file.suffix, ""
    inner = Path(file.stem)
    if not inner.suffix and file.suffix == ".zip":
        try:
            with zipfile.ZipFile(file) as archive:
                return inner.stem, Path(_only_member(archive, str(file))).suffix, ".zip"
        except (*DAMAGE, DataError):
            return inner.stem, "", ".zip"
    return inner.stem, inner.suffix, file.suffix


def source_of(file: Path, key: str) -> Source:
    """Returns a file as a source; nothing is read yet.

    Args:
        file: where it is.
        key: what the user typed to name it, for messages.

    Raises:
        SourceError: no such file, or one that cannot be read: a folder, a device, a pipe.
    """
    if kind := kind_of(file):
        raise SourceError(_no_file(file, key, kind))
    try:
        file.open("rb").close()
    except FileNotFoundError as error:
        raise SourceError(missing(file, key)) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError(Problem(key, f"{str(file)[:200]} cannot be read: {reason}")) from error
    return Source(str(file), lambda: _opened(file))


def stdin_source(*, again: bool) -> Source:
    """Returns stdin as a source.

    Args:
        again: its bytes are kept in a temporary file, so that they can be read twice.
    """
    if not again:
        return Source("stdin", lambda: sys.stdin.buffer, again=False)
    kept = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the source
    for chunk in iter(lambda: sys.stdin.buffer.read(CHUNK_BYTES), b""):
        kept.write(chunk)

    def opened() -> IO[bytes]:
        kept.seek(0)
        return io.BufferedReader(_Kept(kept))

    return Source("stdin", opened, close=kept.close)


class _Kept(io.RawIOBase):
    """A view of a temporary file that leaves it open when the view is closed."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return int(self.file.readinto(buffer))


class Unpacking(io.RawIOBase):
    """The bytes of a compressed file.

    Args:
        packed: the file.
        stream: what unpacks it.
    """

    def __init__(self, packed: IO[bytes], stream: Any) -> None:
        self._packed, self._stream = packed, stream

    def consumed(self) -> int:
        """Returns how many bytes of the file were read so far."""
        return self._packed.tell()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seekable(self) -> bool:
        return bool(self._stream.seekable())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stream.tell())

    def close(self) -> None:
        self._stream.close()
        self._packed.close()
        super().close()


def _opened(file: Path) -> IO[bytes]:
    """Returns a file's bytes, decompressed as its last suffix says."""
    packed = file.open("rb")
    if file.suffix not in COMPRESSIONS:
        return packed
    try:
        return Unpacking(packed, _unpacked(packed, file))  # type: ignore[return-value]
    except BaseException:
        packed.close()
        raise


def _unpacked(packed: IO[bytes], file: Path) -> Any:
    if file.suffix == ".gz":
        return gzip.GzipFile(fileobj=packed)
    if file.suffix == ".bz2":
        return bz2.BZ2File(packed)
    if file.suffix == ".xz":
        return lzma.LZMAFile(packed)
    if file.suffix == ".zip":
        archive = zipfile.ZipFile(packed)
        return archive.open(_only_member(archive, str(file)))
    import pyarrow

    return pyarrow.CompressedInputStream(pyarrow.PythonFile(packed, mode="r"), "zstd")


def _only_member(archive: zipfile.ZipFile, origin: str) -> str:
    names = [
        name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")
    ]
    if len(names) != 1:
        shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "") if names else "nothing"
        message = f"a zip archive of one file is read as that file; this one holds {shown}"
        raise DataError(Problem(origin, message, f"unpack it: unzip {typed_words(origin)}"))
    return names[0]


def _no_file(file: Path, key: str, kind: str) -> Problem:
    if kind == "a folder":
        return Problem(key, f"{file} cannot be read: Is a directory", "name a file in it")
    hint = "rows from stdin: --input -" if key == "--input" else "write its rows to a file first"
    return Problem(key, f"{file} cannot be read: it is {kind}, not a file", hint)


def folder_at(path: str) -> Path:
    """Returns the folder of data.path, as it was typed, which is there and can be listed.

    Raises:
        SourceError: there is none, or it cannot be listed.
    """
    key = "data.path"
    try:
        folder = expanded(path)
        if is_file(folder):
            raise SourceError(
                Problem(key, f"{path} is a file", f"type {shell_word('data.files.train', path)}")
            )
        if not folder.is_dir():
            raise SourceError(missing(folder, key))
        next(folder.iterdir(), None)
    except SourceError:
        raise
    except (OSError, ValueError) as error:  # a name too long, a NUL byte, no permission
        raise SourceError(Problem(key, f"{path[:200]} cannot be read: {_reason(error)}")) from error
    return folder


def missing(file: Path, key: str) -> Problem:
    """Returns the problem of a file or folder that is not there, with what is near it."""
    if not is_folder(file.parent):
        return Problem(key, f"there is no {file}", f"the folder {file.parent} does not exist either")
    try:
        near = nearest(file.name, [entry.name for entry in file.parent.iterdir()])
    except OSError:  # it may be entered, and not be listed
        near = []
    hint = "did you mean " + " or ".join(str(file.parent / name) for name in near) + "?"
    return Problem(key, f"there is no {file}", hint if near else f"look into {file.parent}")


def not_rows(head: bytes) -> str:
    """Returns what a file's first bytes say it is, where that is no file of rows whatever its name; else ''."""
    start = head[:64].lstrip().lower()
    if start.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file itself: type git lfs pull in its folder"
    if start.startswith((b"<!doctype html", b"<html")):
        return "is a web page, such as a page to sign in, and not the file: fetch it again"
    return ""


def compressed_as(head: bytes) -> str:
    """Returns the suffix of the compression that a file's first bytes show, or ''."""
    return next((suffix for magic, suffix in MAGIC.items() if head.startswith(magic)), "")


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
