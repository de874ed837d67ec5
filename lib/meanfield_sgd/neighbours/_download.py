"""The files of Fashion-MNIST in the user's cache: fetched once, resumed where a connection broke, checked by MD5.

Source of the data: H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine
learning algorithms, 2017, arXiv:1708.07747; MIT licence, copyright 2017 Zalando SE.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import InputError

__all__ = ["FILES", "Unavailable", "cache_folder", "fetch", "is_offline"]

MIRRORS = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)

# The two files of each split, images first.
FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}

# As the README of zalandoresearch/fashion-mnist gives them; a guard against damage, not against forgery.
MD5 = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}

TIMEOUT = 5.0  # seconds to connect, and seconds without a byte: a notebook must not hang
PATIENCE = 60.0  # seconds to wait for another process whose download does not grow
BREAKS = 5  # connections that may break on one mirror, as long as each brought something
CHUNK = 1 << 16
LARGEST = 64 << 20  # bytes; the largest file has 26 MB, a server that sends more sends something else


class Unavailable(InputError):
    """Neither the files nor a way to get them. ``reason`` says why in few words, without paths of the machine."""

    def __init__(self, message: str, reason: str):
        super().__init__(message)
        self.reason = reason


class _Broken(Exception):
    """A mirror does not deliver; its text says why."""


def is_offline() -> bool:
    """Whether $MEANFIELD_SGD_OFFLINE forbids downloads: set, and neither empty nor 0."""
    return os.environ.get("MEANFIELD_SGD_OFFLINE", "") not in ("", "0")


def cache_folder() -> Path:
    """Where downloads are kept: $XDG_CACHE_HOME if it is an absolute path, else the platform's own place."""
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(chosen):
        home = Path(os.path.expanduser("~"))
        if not home.is_absolute():  # a user without a home, in some containers
            home = Path(tempfile.gettempdir())
        if sys.platform == "win32":
            chosen = os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"
        else:
            chosen = home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"
    return Path(chosen) / "meanfield-sgd" / "fashion-mnist"


def fetch(split: str, *, download: bool, progress: bool | None) -> tuple[Path, list[bytes]]:
    """The cache folder and the contents of the two files of ``split``, checked by MD5; downloaded where need be.

    Raises Unavailable where that cannot be done. Ctrl-C keeps what has arrived, for the next call.
    """
    folder = cache_folder()
    names = FILES[split]
    contents = [_checked(folder / name) for name in names]
    if None in contents:
        if is_offline() or not download:
            forbidden = "MEANFIELD_SGD_OFFLINE is set" if is_offline() else "download=False was given"
            raise _unavailable(names, f"it is not in the cache, and {forbidden}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _lock(folder, names):
                contents = [_checked(folder / name) or _download(folder, name, names, progress) for name in names]
        except OSError as error:  # of the disk: those of the network were caught where they arose
            reason = f"it cannot be stored: {error.strerror or error}"
            raise _unavailable(names, reason, f" (set XDG_CACHE_HOME to store it elsewhere than in {folder})") from None
    return folder, contents


def _unavailable(names: tuple[str, str], reason: str, also: str = "") -> Unavailable:
    return Unavailable(
        f"Fashion-MNIST is not here: {reason}{also}; put {names[0]} and {names[1]} (of "
        "github.com/zalandoresearch/fashion-mnist, data/fashion) into a folder and set FASHION_MNIST_DIR to its path",
        reason,
    )


def _checked(path: Path) -> bytes | None:
    """The contents of a complete file; None where it is absent, unreadable, or not what it should be."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    name = path.name.removesuffix(".part")
    return data if hashlib.md5(data, usedforsecurity=False).hexdigest() == MD5[name] else None


@contextmanager
def _lock(folder: Path, names: tuple[str, str]) -> Iterator[None]:
    """One process at a time downloads; a second one waits, and then finds the files there.

    The lock is the operating system's, on a file of its own: it is gone when its process is, however that ended. On a
    file system without locks two processes may spoil each other's download; the checksum notices, and what is handed
    out was checked in memory.
    """
    with (folder / "download.lock").open("a+b") as file:
        grown, since = -1, time.monotonic()
        while not _try_lock(file):
            size = sum(_size(path) for path in folder.glob("*"))
            if size != grown:
                grown, since = size, time.monotonic()
            elif time.monotonic() - since > PATIENCE:
                reason = f"another process has been downloading it without progress for {PATIENCE:.0f} seconds"
                raise _unavailable(names, reason)
            time.sleep(0.1)
        yield  # closing the file gives the lock back


def _try_lock(file: Any) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # no locks here
        return True
    return True


def _download(folder: Path, name: str, names: tuple[str, str], progress: bool | None) -> bytes:
    """Get one file into the cache and return its contents; the caller holds the lock."""
    part = folder / f"{name}.part"
    mirrors = list(MIRRORS)
    for _ in range(2):
        if _checked(part) is None:  # else an earlier run was stopped between the last byte and the renaming
            served = _transfer(part, name, names, mirrors, progress)
            mirrors = mirrors[served + 1 :] + mirrors[: served + 1]
        data = _checked(part)
        if data is not None:
            os.replace(part, folder / name)
            return data
        part.unlink(missing_ok=True)
    raise _unavailable(names, f"{name} was downloaded twice, and both times its MD5 checksum was wrong")


def _transfer(part: Path, name: str, names: tuple[str, str], mirrors: list[str], progress: bool | None) -> int:
    """Complete ``part`` from the first mirror that delivers to the end, and return that mirror's index."""
    faults = []
    with _bar(name, progress) as show:
        for index, mirror in enumerate(mirrors):
            for _ in range(BREAKS):
                before = _size(part)
                try:
                    _request(mirror + name, part, show)
                    return index
                except _Broken as fault:
                    why = str(fault)
                except KeyboardInterrupt:
                    raise KeyboardInterrupt(
                        f"the download of {name} was stopped; the {_size(part)} bytes that have arrived are kept, "
                        "and the next call goes on from there"
                    ) from None
                if _size(part) <= before:
                    break
            faults.append(f"{urlsplit(mirror).hostname}: {why}")
    raise _unavailable(names, f"it cannot be downloaded ({'; '.join(faults)})")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _request(address: str, part: Path, show: Callable[[int, int | None], None]) -> None:
    """One request that appends to ``part``, or starts it anew where the server does not resume; raises _Broken."""
    response, start = _open(address, _size(part))
    with response:
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else None
        received = start
        with part.open("ab" if start else "wb") as file:
            while chunk := _read(response):
                file.write(chunk)
                received += len(chunk)
                if received > LARGEST:
                    file.truncate(0)
                    raise _Broken("it sends more than the file can have")
                show(received, total)
    if total is not None and received < total:
        raise _Broken(f"the connection broke after {received} of {total} bytes")


def _open(address: str, start: int) -> tuple[Any, int]:
    """The answer, and the position in the file at which its first byte belongs: ``start``, or 0."""
    request = urllib.request.Request(address, headers={"User-Agent": "meanfield-sgd", "Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(urllib.request.urlopen(request, timeout=TIMEOUT))
        except Exception as error:  # whatever it is, the caller wants it, not the thread
            answers.append(error)

    # In a thread, because urllib's timeout is neither one for the look-up of the name nor for all addresses together.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(2 * TIMEOUT)
    answer = answers[0] if answers else TimeoutError()
    if isinstance(answer, Exception):
        if isinstance(answer, urllib.error.HTTPError):
            answer.close()
            if answer.code == 416 and start:  # the server has fewer bytes than we hold: ours are of no use
                return _open(address, 0)
            raise _Broken(f"HTTP status {answer.code}")
        raise _Broken(_words(getattr(answer, "reason", answer)))
    if answer.status == 206 and not re.match(rf"bytes {start}-", answer.headers.get("Content-Range") or ""):
        answer.close()
        if not start:
            raise _Broken("it answers with a part that was not asked for")
        return _open(address, 0)
    return answer, start if answer.status == 206 else 0


def _read(response: Any) -> bytes:
    # read1, so that what has arrived is stored before the connection breaks, or the user does
    try:
        return response.read1(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(_words(error)) from None


def _words(error: Any) -> str:
    """What an error says, on one line."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())


@contextmanager
def _bar(name: str, progress: bool | None) -> Iterator[Callable[[int, int | None], None]]:
    """A function of (bytes received, bytes in total) that moves a bar on stderr; None: only on a terminal."""
    terminal = hasattr(sys.stderr, "isatty") and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    if not (progress or (progress is None and terminal)):
        yield lambda received, total: None
        return
    from tqdm import tqdm

    with tqdm(desc=name, unit="B", unit_scale=True, leave=bool(progress), file=sys.stderr) as bar:

        def show(received: int, total: int | None) -> None:
            bar.total = total
            bar.update(received - bar.n)

        yield show
