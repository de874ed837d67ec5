"""Real images: every way in which a file can be wrong, and every way in which a download can go wrong, on the loopback."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from meanfield_sgd.errors import InputError
from meanfield_sgd.neighbours import _download, images
from meanfield_sgd.neighbours.images import ImageSet, fashion_mnist, real_images

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "data" / "fashion-mnist"
IMAGES, LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
N = 40


def image_bytes(count: int = N, *, magic: int = 2051, said: int | None = None, rows: int = 28, seed: int = 0) -> bytes:
    """An IDX file of noise, which does not compress: its gzipped form has about as many bytes."""
    header = struct.pack(">IIII", magic, count if said is None else said, rows, 28)
    return header + np.random.default_rng(seed).integers(0, 256, (count, rows * 28), np.uint8).tobytes()


def label_bytes(count: int = N, *, magic: int = 2049, said: int | None = None, last: int | None = None) -> bytes:
    labels = np.arange(count, dtype=np.uint8) % 10
    if last is not None:
        labels[-1] = last
    return struct.pack(">II", magic, count if said is None else said) + labels.tobytes()


GOOD = {IMAGES: gzip.compress(image_bytes(), mtime=0), LABELS: gzip.compress(label_bytes(), mtime=0)}


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """No folder, an empty cache, a mirror that refuses every connection, and no proxy."""
    for name in ("FASHION_MNIST_DIR", "MEANFIELD_SGD_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(_download, "MIRRORS", (f"http://127.0.0.1:{port}/",))
    monkeypatch.setattr(_download, "MD5", {name: hashlib.md5(data).hexdigest() for name, data in GOOD.items()})


@pytest.fixture
def cache(tmp_path) -> Path:
    folder = tmp_path / "cache" / "meanfield-sgd" / "fashion-mnist"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def folder(tmp_path):
    """Write the two files of a folder, gzipped unless told otherwise, and return the folder."""

    def write(first: bytes | None = None, second: bytes | None = None, *, packed: bool = True) -> Path:
        place = tmp_path / "given"
        place.mkdir(exist_ok=True)
        for name, data in ((IMAGES, first or image_bytes()), (LABELS, second or label_bytes())):
            (place / (name if packed else name[:-3])).write_bytes(gzip.compress(data) if packed else data)
        return place

    return write


def refusal(**arguments) -> str:
    """The one line with which fashion_mnist refuses."""
    with pytest.raises(InputError) as caught:
        fashion_mnist(**arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- the set of images -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [True, False])
def test_reads_gzipped_and_unpacked_files(folder, packed):
    found = fashion_mnist(folder=folder(packed=packed))
    pixels = np.frombuffer(image_bytes()[16:], np.uint8).reshape(N, 784)
    assert found.images.dtype == np.float64 and found.labels.dtype == np.int64
    np.testing.assert_array_equal(found.images, pixels / 255)
    np.testing.assert_array_equal(found.labels, np.arange(N) % 10)
    assert (found.source, found.shape, found.notice, len(found)) == ("fashion-mnist", (28, 28), None, N)
    assert found.names[0] == "T-shirt/top" and found.names[9] == "Ankle boot" and len(found.names) == 10


def test_first_is_a_copy_and_of_is_one_class(folder):
    every = fashion_mnist(folder=folder())
    few = every.first(15)
    np.testing.assert_array_equal(few.images, every.images[:15])
    np.testing.assert_array_equal(few.labels, every.labels[:15])
    assert (few.source, few.folder, few.names, few.shape) == (every.source, every.folder, every.names, every.shape)
    few.images[:] = 2.0
    assert every.images.max() <= 1.0
    np.testing.assert_array_equal(every.of(3), every.images[3::10])
    np.testing.assert_array_equal(every.of(np.int64(3)), every.of(3))


def test_refuses_what_is_not_there(folder):
    few = fashion_mnist(folder=folder()).first(3)
    with pytest.raises(InputError, match="none of these 3 images is of class 5 \\(Sandal\\)"):
        few.of(5)
    for label in (10, -1, "Bag", True, 1.0):
        with pytest.raises(InputError, match="label must be a class of fashion-mnist, one of 0 \\(T-shirt/top\\), 1"):
            few.of(label)
    with pytest.raises(InputError, match="count must be at most 3"):
        few.first(4)
    for count in (0, 1.5, "all"):
        with pytest.raises(InputError, match="count must be a whole number, at least 1"):
            few.first(count)


def test_repr_holds_no_path(folder):
    place = folder()
    found = fashion_mnist(folder=place)
    assert repr(found) == "ImageSet(40 images of fashion-mnist, 28 x 28 pixels, 10 classes)"
    assert found.folder == place


def test_arrays_must_fit():
    with pytest.raises(InputError, match=r"\(2, 4\), got \(3, 4\)"):
        ImageSet(np.zeros((3, 4)), np.zeros(2, int), ("a",), "digits", (2, 2))


# ---- a given folder --------------------------------------------------------------------------------------------------


def test_folder_before_variable_before_cache(folder, cache, tmp_path, monkeypatch):
    place = folder()
    for name, data in GOOD.items():
        (cache / name).write_bytes(data)
    assert fashion_mnist().folder == cache
    monkeypatch.setenv("FASHION_MNIST_DIR", str(place))
    assert fashion_mnist().folder == place
    other = place.rename(tmp_path / "other")
    assert fashion_mnist(folder=other).folder == other
    assert "FASHION_MNIST_DIR" in refusal()
    monkeypatch.setenv("FASHION_MNIST_DIR", "")
    assert fashion_mnist().folder == cache


@pytest.mark.parametrize("said", ["folder", "FASHION_MNIST_DIR"])
def test_a_folder_without_the_files_is_an_error(folder, tmp_path, monkeypatch, said):
    def refused(place: Path) -> str:
        monkeypatch.setenv("FASHION_MNIST_DIR", str(place))
        message = refusal(folder=place) if said == "folder" else refusal()
        assert message.startswith(said) and IMAGES in message and LABELS in message
        if said == "FASHION_MNIST_DIR":
            with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
                real_images(2)
        return message

    assert "has no file t10k-images-idx3-ubyte.gz (or t10k-images-idx3-ubyte)" in refused(tmp_path)
    assert "is not a folder" in refused(tmp_path / "absent")
    place = folder()
    (place / LABELS).unlink()
    assert "has no file t10k-labels-idx1-ubyte.gz" in refused(place)
    assert "train-labels" in refusal(split="train", folder=place)


HTML = b"<!DOCTYPE html><html><body>404</body></html>"


@pytest.mark.parametrize(
    ("first", "second", "guilty", "said"),
    [
        (image_bytes(magic=2052), None, IMAGES, "magic number 2052; expected 2051"),
        (label_bytes(), None, IMAGES, "holds labels, not images (magic number 2049"),
        (None, image_bytes(), LABELS, "holds images, not labels (magic number 2051"),
        (None, label_bytes(magic=7), LABELS, "magic number 7; expected 2049"),
        (image_bytes(rows=27), None, IMAGES, "27 x 28 pixels; expected 28 x 28"),
        (image_bytes()[:-1], None, IMAGES, "bytes missing: 1 (40 images take 31360 bytes"),
        (image_bytes() + b"ab", None, IMAGES, "bytes too many: 2"),
        (image_bytes(said=41), None, IMAGES, "bytes missing: 784"),
        (image_bytes()[:10], None, IMAGES, "cut short: 10 bytes, and the header alone has 16"),
        (image_bytes(count=0), None, IMAGES, "holds no images"),
        (None, label_bytes()[:-1], LABELS, "bytes missing: 1 (40 labels take 40 bytes"),
        (None, label_bytes() + b"a", LABELS, "bytes too many: 1"),
        (None, label_bytes(last=10), LABELS, "label 40 of 40 is 10; expected 0 to 9"),
        (None, label_bytes(N - 1), IMAGES, f"holds 40 images, and {LABELS} beside it 39 labels"),
        (image_bytes(N - 1), None, IMAGES, f"holds 39 images, and {LABELS} beside it 40 labels"),
        (HTML, None, IMAGES, "begins with '<!DOCTYPE html>' (a web page, not data)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("packed", [True, False])
def test_names_the_file_and_what_is_wrong_with_it(folder, first, second, guilty, said, packed, monkeypatch):
    place = folder(first, second, packed=packed)
    message = refusal(folder=place)
    said = said if packed else said.replace(".gz", "")
    assert message.startswith(str(place / (guilty if packed else guilty[:-3]))) and said in message
    monkeypatch.setenv("FASHION_MNIST_DIR", str(place))
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        real_images(2)  # and no digits in their place


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda data: b"", "is empty"),
        (lambda data: data[: len(data) // 2], "is cut short"),
        (lambda data: data[:-4], "is cut short"),
        (lambda data: data[:5], "is cut short"),
        (flipped, "is damaged"),
        (lambda data: data[:10] + b"\xff" + data[11:], "is damaged"),
        (lambda data: data[:-8] + b"\0\0\0\0" + data[-4:], "is damaged"),
        (lambda data: data + b"more", "is damaged"),
        (lambda data: HTML, "is not a gzip file: it begins with '<!DOCTYPE html>' (a web page"),
        (lambda data: b"\x50\x4b\x03\x04rest", "is not a gzip file: it begins with bytes 50 4b 03 04"),
        (gzip.decompress, "is unpacked already"),
        (gzip.compress, "it begins with bytes 1f 8b"),
    ],
)
@pytest.mark.parametrize("name", [IMAGES, LABELS])
def test_refuses_a_damaged_gzip_file(folder, spoil, said, name):
    place = folder()
    (place / name).write_bytes(spoil((place / name).read_bytes()))
    message = refusal(folder=place)
    assert message.startswith(str(place / name)) and said in message


def test_refuses_a_compressed_file_without_the_suffix(folder):
    place = folder()
    (place / IMAGES).rename(place / IMAGES[:-3])
    assert "is still gzip-compressed" in refusal(folder=place)


def test_refuses_an_unreadable_file(folder, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied")

    place = folder()
    monkeypatch.setattr(Path, "read_bytes", denied)  # root may read every file, so modes would not do
    assert f"{place / IMAGES} cannot be read: Permission denied" in refusal(folder=place)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"split": "validation"}, "split must be one of 'train', 'test'"),
        ({"folder": 3}, "folder must be the path of a folder, got 3"),
        ({"download": "no"}, "download must be True or False"),
        ({"progress": 1}, "progress must be True or False"),
    ],
)
def test_refuses_other_arguments(arguments, said):
    assert said in refusal(**arguments)


# ---- downloads -------------------------------------------------------------------------------------------------------


class Mirror:
    """A server on the loopback. ``requests`` is what was asked for: (file name, Range or None)."""

    def __init__(self):
        self.files = dict(GOOD)
        self.ranges = True  # whether Range is obeyed
        self.shift = 0  # how far from what was asked a 206 begins
        self.drops = []  # after how many bytes the next answers break off
        self.statuses = []  # of the next answers, instead of 200
        self.held = None  # None, or where the next answers wait for .go: "before" them or "within" their bodies
        self.go = threading.Event()
        self.waiting = threading.Event()  # set once an answer waits
        self.lengths = True  # whether Content-Length is sent
        self.requests = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                mirror.answer(self)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_port}/data/"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, handler) -> None:
        name = handler.path.rpartition("/")[2]
        asked = handler.headers.get("Range")
        self.requests.append((name, asked))
        data = self.files.get(name)
        if self.statuses or data is None:
            handler.send_error(self.statuses.pop(0) if self.statuses else 404)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) + self.shift if asked and self.ranges else None
        if start is not None and start >= len(data):
            handler.send_error(416)
            return
        body = data[start or 0 :]
        self.hold("before")
        handler.send_response(200 if start is None else 206)
        if self.lengths:
            handler.send_header("Content-Length", str(len(body)))
        if start is not None:
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        handler.end_headers()
        cut = self.drops.pop(0) if self.drops else len(body)
        half = cut // 2
        try:
            handler.wfile.write(body[:half])
            handler.wfile.flush()
            self.hold("within")
            handler.wfile.write(body[half:cut])
        except OSError:
            pass

    def hold(self, where: str) -> None:
        if self.held == where:
            self.waiting.set()
            self.go.wait(30)


@pytest.fixture
def mirrors(monkeypatch):
    started = []

    def start(count: int = 1) -> list[Mirror]:
        started.extend(Mirror() for _ in range(count))
        monkeypatch.setattr(_download, "MIRRORS", tuple(mirror.address for mirror in started))
        return started

    yield start
    for mirror in started:
        mirror.go.set()
        mirror.server.shutdown()
        mirror.server.server_close()


@pytest.fixture
def mirror(mirrors) -> Mirror:
    return mirrors()[0]


def files_of(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"download.lock"}


def test_downloads_once_into_the_cache(mirror, tmp_path):
    found = fashion_mnist()
    cache = tmp_path / "cache" / "meanfield-sgd" / "fashion-mnist"
    assert found.folder == cache and len(found) == N
    assert files_of(cache) == {IMAGES, LABELS}
    assert mirror.requests == [(IMAGES, None), (LABELS, None)]
    fashion_mnist()
    assert len(mirror.requests) == 2


def test_downloads_a_damaged_cached_file_anew(mirror, cache):
    (cache / IMAGES).write_bytes(flipped(GOOD[IMAGES]))
    (cache / LABELS).write_bytes(GOOD[LABELS])
    assert len(fashion_mnist()) == N
    assert mirror.requests == [(IMAGES, None)]
    assert (cache / IMAGES).read_bytes() == GOOD[IMAGES]


def test_a_broken_connection_is_resumed_at_once(mirror):
    mirror.drops = [9000, 5000]
    assert len(fashion_mnist()) == N
    assert mirror.requests[:3] == [(IMAGES, None), (IMAGES, "bytes=9000-"), (IMAGES, "bytes=14000-")]


def test_a_broken_download_is_resumed_by_the_next_call(mirror, cache, monkeypatch):
    monkeypatch.setattr(_download, "BREAKS", 1)
    mirror.drops = [9000]
    assert "the connection broke after 9000 of" in refusal()
    assert files_of(cache) == {f"{IMAGES}.part"}
    assert (cache / f"{IMAGES}.part").read_bytes() == GOOD[IMAGES][:9000]
    assert len(fashion_mnist()) == N
    assert mirror.requests[1] == (IMAGES, "bytes=9000-")
    assert files_of(cache) == {IMAGES, LABELS}


def test_another_mirror_goes_on_where_one_broke(mirrors, monkeypatch):
    monkeypatch.setattr(_download, "BREAKS", 1)
    first, second = mirrors(2)
    first.drops = [9000]
    assert len(fashion_mnist()) == N
    assert second.requests == [(IMAGES, "bytes=9000-")]


def test_without_a_length_a_break_is_noticed_by_the_checksum(mirror):
    mirror.lengths, mirror.drops = False, [9000]
    assert len(fashion_mnist()) == N
    assert mirror.requests[:2] == [(IMAGES, None), (IMAGES, None)]


@pytest.mark.parametrize("how", ["ignores Range", "sends another range", "answers 416"])
def test_starts_anew_where_the_server_does_not_resume(mirror, cache, how):
    part = GOOD[IMAGES][:9000]
    if how == "ignores Range":
        mirror.ranges = False
    elif how == "sends another range":
        mirror.shift = 7
    else:
        part = GOOD[IMAGES] + b"more than the server has"
    (cache / f"{IMAGES}.part").write_bytes(part)
    assert len(fashion_mnist()) == N
    images_asked = [asked for name, asked in mirror.requests if name == IMAGES]
    assert images_asked == ([f"bytes={len(part)}-"] if how == "ignores Range" else [f"bytes={len(part)}-", None])
    assert files_of(cache) == {IMAGES, LABELS}


def test_a_complete_part_needs_no_request(mirror, cache):
    (cache / f"{IMAGES}.part").write_bytes(GOOD[IMAGES])
    assert len(fashion_mnist()) == N
    assert mirror.requests == [(LABELS, None)]
    assert files_of(cache) == {IMAGES, LABELS}


def test_a_spoiled_part_is_thrown_away_once_its_checksum_is_wrong(mirror, cache):
    (cache / f"{IMAGES}.part").write_bytes(b"x" * 9000)
    assert len(fashion_mnist()) == N
    assert mirror.requests[:2] == [(IMAGES, "bytes=9000-"), (IMAGES, None)]


def test_wrong_bytes_are_tried_twice_and_not_kept(mirror, cache):
    mirror.files[IMAGES] = HTML
    message = refusal()
    assert f"{IMAGES} was downloaded twice" in message and "MD5" in message
    assert mirror.requests == [(IMAGES, None)] * 2
    assert files_of(cache) == set()


def test_the_second_try_is_at_the_next_mirror(mirrors):
    first, second = mirrors(2)
    first.files[IMAGES] = HTML
    assert len(fashion_mnist()) == N
    assert [name for name, _ in first.requests] == [IMAGES, LABELS]
    assert second.requests == [(IMAGES, None)]


@pytest.mark.parametrize("status", [403, 404, 500])
def test_mirrors_are_tried_in_order(mirrors, status):
    first, second = mirrors(2)
    first.statuses = [status] * 2
    assert len(fashion_mnist()) == N
    assert first.requests == second.requests == [(IMAGES, None), (LABELS, None)]


def test_a_server_that_never_ends_is_left(mirrors, cache, monkeypatch):
    monkeypatch.setattr(_download, "LARGEST", 10000)
    monkeypatch.setattr(_download, "CHUNK", 4096)
    mirrors()
    assert "it sends more than the file can have" in refusal()
    assert (cache / f"{IMAGES}.part").read_bytes() == b""


@pytest.mark.parametrize("where", ["before", "within"])
def test_a_silent_server_is_given_up(mirror, monkeypatch, where):
    monkeypatch.setattr(_download, "TIMEOUT", 0.1)
    mirror.held = where
    assert "127.0.0.1: no answer in time" in refusal()
    assert not mirror.go.is_set()


def test_a_look_up_that_never_ends_is_given_up(monkeypatch):
    monkeypatch.setattr(_download, "TIMEOUT", 0.1)
    never = threading.Event()
    monkeypatch.setattr(_download.urllib.request, "urlopen", lambda *a, **k: never.wait(30))
    assert "no answer in time" in refusal()
    never.set()


@pytest.mark.parametrize(
    "fault", [ValueError("strange"), UnicodeError("label\ntoo long"), socket.gaierror(-2, "no such name")]
)
def test_any_failure_of_a_request_is_one_line(monkeypatch, fault):
    def fail(*arguments, **keywords):
        raise fault

    monkeypatch.setattr(_download.urllib.request, "urlopen", fail)
    assert (getattr(fault, "strerror", None) or str(fault).replace("\n", " ")) in refusal()


def test_an_answer_that_is_not_http_is_one_line(monkeypatch):
    server = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setattr(_download, "MIRRORS", (f"http://127.0.0.1:{server.getsockname()[1]}/",))

    def answer() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"220 mail.example ESMTP\r\n\r\n")

    thread = threading.Thread(target=answer)
    thread.start()
    assert "220 mail.example" in refusal()
    thread.join()
    server.close()


def test_ctrl_c_keeps_what_has_arrived(mirror, cache, monkeypatch):
    read, chunks = _download._read, iter([True, False])

    def interrupted(response):
        if next(chunks, False):
            return read(response)
        raise KeyboardInterrupt

    monkeypatch.setattr(_download, "CHUNK", 9000)
    monkeypatch.setattr(_download, "_read", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        real_images(2)
    arrived = (cache / f"{IMAGES}.part").read_bytes()
    assert 0 < len(arrived) <= 9000 and arrived == GOOD[IMAGES][: len(arrived)]
    assert f"the {len(arrived)} bytes that have arrived are kept, and the next call goes on" in str(caught.value)
    assert files_of(cache) == {f"{IMAGES}.part"}
    monkeypatch.setattr(_download, "_read", read)
    assert len(fashion_mnist()) == N
    assert mirror.requests[1] == (IMAGES, f"bytes={len(arrived)}-")


ANOTHER = """
from meanfield_sgd.neighbours import _download
_download.MIRRORS, _download.MD5 = ({address!r},), {md5!r}
from meanfield_sgd.neighbours.images import fashion_mnist
print(len(fashion_mnist()))
"""


@pytest.fixture
def another_process(mirror):
    """Another process that downloads, and has been served the first half of the first file."""
    mirror.held = "within"
    code = ANOTHER.format(address=mirror.address, md5=_download.MD5)
    path = os.pathsep.join(filter(None, [str(ROOT / "lib"), os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert mirror.waiting.wait(60)
    yield process
    process.kill()
    process.communicate()


def test_two_processes_at_once_download_once(mirror, cache, another_process):
    found = []
    second = threading.Thread(target=lambda: found.append(len(fashion_mnist())))
    second.start()
    second.join(0.3)
    assert second.is_alive() and len(mirror.requests) == 1, "the second waits for the first"
    mirror.go.set()
    assert another_process.communicate(timeout=60)[0] == f"{N}\n"
    second.join(60)
    assert found == [N]
    assert mirror.requests == [(IMAGES, None), (LABELS, None)]
    assert files_of(cache) == {IMAGES, LABELS}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_ctrl_c_in_earnest(mirror, another_process):
    another_process.send_signal(signal.SIGINT)
    said = another_process.communicate(timeout=60)[1]
    assert "bytes that have arrived are kept, and the next call goes on from there" in said.splitlines()[-1]
    mirror.go.set()
    assert len(fashion_mnist()) == N


def test_a_process_that_was_killed_leaves_no_lock(mirror, another_process):
    another_process.kill()
    another_process.wait()
    mirror.go.set()
    assert len(fashion_mnist()) == N


def test_a_process_that_does_not_move_is_not_waited_for(mirror, cache, monkeypatch):
    monkeypatch.setattr(_download, "PATIENCE", 0.2)
    with _download._lock(cache, (IMAGES, LABELS)):
        assert "another process has been downloading it without progress" in refusal()
    assert mirror.requests == []
    assert len(fashion_mnist()) == N


def test_downloads_where_the_file_system_has_no_locks(mirror, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def refuse(*arguments):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert len(fashion_mnist()) == N


def test_a_cache_that_cannot_be_made_is_one_line(mirror, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    message = refusal()
    assert "it cannot be stored" in message and "XDG_CACHE_HOME" in message and "FASHION_MNIST_DIR" in message
    assert real_images(3).source == "digits"


def test_a_full_disk_is_one_line(mirror, cache, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_download.os, "replace", full)
    assert "it cannot be stored: No space left on device" in refusal()


@pytest.mark.parametrize("asked", [True, None, False])
def test_the_bar_is_shown_when_asked_for_or_on_a_terminal_only(mirror, capsys, asked):
    fashion_mnist(progress=asked)
    said = capsys.readouterr()
    assert said.out == ""
    assert (IMAGES in said.err) == (asked is True)


def test_the_bar_is_shown_on_a_terminal(mirror, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    fashion_mnist()
    assert IMAGES in capsys.readouterr().err


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/elsewhere"}, "/elsewhere"),
        ("linux", {"XDG_CACHE_HOME": "relative", "HOME": "/home"}, "/home/.cache"),
        ("linux", {"XDG_CACHE_HOME": "", "HOME": "/home"}, "/home/.cache"),
        ("darwin", {"XDG_CACHE_HOME": "", "HOME": "/home"}, "/home/Library/Caches"),
        ("win32", {"XDG_CACHE_HOME": "", "LOCALAPPDATA": "/local"}, "/local"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="these are paths of POSIX")
def test_the_cache_is_where_the_platform_keeps_caches(monkeypatch, platform, variables, expected):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(_download.sys, "platform", platform)
    assert _download.cache_folder() == Path(expected) / "meanfield-sgd" / "fashion-mnist"


def test_names_and_checksums_are_those_of_the_data_set():
    """As its README has them; read in a fresh interpreter, since the checksums are replaced above."""
    code = "import sys; from meanfield_sgd.neighbours import _download as d; print(d.MD5, d.MIRRORS, 'torch' in sys.modules)"
    path = os.pathsep.join(filter(None, [str(ROOT / "lib"), os.environ.get("PYTHONPATH")]))
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env=os.environ | {"PYTHONPATH": path}).stdout  # fmt: skip
    for name, md5 in {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    }.items():
        assert f"'{name}': '{md5}'" in said
    assert said.index(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
    ) < said.index("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/")
    assert said.endswith("False\n"), "no torch is needed to read images"


# ---- offline, and digits in their place ------------------------------------------------------------------------------


def assert_says_what_to_do(message: str) -> None:
    assert IMAGES in message and LABELS in message and "set FASHION_MNIST_DIR" in message


def test_without_a_network_one_line_says_where_to_put_the_files():
    message = refusal()
    assert_says_what_to_do(message)
    assert "127.0.0.1: Connection refused" in message


def test_downloads_can_be_forbidden(mirror, monkeypatch):
    assert "download=False was given" in refusal(download=False)
    monkeypatch.setenv("MEANFIELD_SGD_OFFLINE", "1")
    message = refusal()
    assert_says_what_to_do(message)
    assert "MEANFIELD_SGD_OFFLINE is set" in message
    assert real_images(2).source == "digits"
    assert mirror.requests == []
    monkeypatch.setenv("MEANFIELD_SGD_OFFLINE", "0")
    assert len(fashion_mnist()) == N
    assert len(fashion_mnist(download=False)) == N, "the cache needs no download"


def test_a_damaged_cached_file_is_not_used_offline(cache):
    (cache / IMAGES).write_bytes(flipped(GOOD[IMAGES]))
    (cache / LABELS).write_bytes(GOOD[LABELS])
    assert_says_what_to_do(refusal())
    assert real_images(2).source == "digits"


def test_digits_stand_in_and_say_so(tmp_path):
    from sklearn.datasets import load_digits

    found = real_images(100)
    assert (found.source, found.shape, found.folder, len(found)) == ("digits", (8, 8), None, 100)
    assert found.names == tuple("0123456789")
    assert found.images.dtype == np.float64 and found.labels.dtype == np.int64
    np.testing.assert_array_equal(found.images, load_digits().images[:100].reshape(100, 64) / 16)
    np.testing.assert_array_equal(found.labels, load_digits().target[:100])
    assert "\n" not in found.notice and str(tmp_path) not in found.notice
    assert found.notice.startswith("These are 100 handwritten digits") and "Connection refused" in found.notice
    assert_says_what_to_do(found.notice)
    assert repr(found) == "ImageSet(100 images of digits, 8 x 8 pixels, 10 classes)"
    assert len(real_images()) == 1797, "all of them where more are asked for"
    assert found.first(5).notice == found.notice


def test_without_scikit_learn_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(InputError, match="pip install scikit-learn") as caught:
        real_images(2)
    assert "\n" not in str(caught.value) and "FASHION_MNIST_DIR" in str(caught.value)


def test_real_images_are_the_first_of_the_test_split(mirror, folder, monkeypatch):
    found = real_images(12)
    assert (len(found), found.source, found.notice) == (12, "fashion-mnist", None)
    np.testing.assert_array_equal(found.images, fashion_mnist().images[:12])
    monkeypatch.setenv("FASHION_MNIST_DIR", str(folder()))
    assert len(real_images(N)) == N
    with pytest.raises(InputError, match="count must be at most 40"):
        real_images()
    for count in (0, 2.5, None):
        with pytest.raises(InputError, match="count must be a whole number, at least 1"):
            real_images(count)


def test_why_absent_tells_absence_from_damage(folder, monkeypatch):
    assert "Connection refused" in images.why_absent()
    place = folder()
    monkeypatch.setenv("FASHION_MNIST_DIR", str(place))
    assert images.why_absent() is None
    (place / IMAGES).write_bytes(HTML)
    assert images.why_absent() is None


# ---- the images themselves -------------------------------------------------------------------------------------------


@pytest.mark.skipif(
    not REAL.is_dir(), reason=f"no Fashion-MNIST beside the checkout, in ../{REAL.relative_to(ROOT.parent)}"
)
def test_the_real_images(monkeypatch):
    monkeypatch.setenv("FASHION_MNIST_DIR", str(REAL))
    found = real_images()
    assert (len(found), found.shape, found.source, found.notice) == (4443, (28, 28), "fashion-mnist", None)
    assert np.bincount(found.labels).tolist() == [452, 429, 470, 437, 458, 428, 435, 452, 467, 415]
    assert [len(found.of(label)) for label in range(10)] == np.bincount(found.labels).tolist()
    assert found.images.min() == 0.0 and found.images.max() == 1.0
    # Traces of the class covariances, that is mean squared distances from the class mean: an independent summary.
    traces = [found.of(label).var(axis=0).sum() for label in (0, 1, 5, 9)]
    np.testing.assert_allclose(traces, [42.03, 25.43, 39.23, 40.47], rtol=5e-3)
