"""What tests of the data package share."""

import hashlib
import http.server
import io
import tarfile
import threading
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from lenet.data import catalog

LAYOUT = catalog.CIFAR10.layouts[0]


@pytest.fixture
def large_png():
    """Writes a 16-bit grey PNG of side x side black pixels, or all of it but most of the pixels."""

    def write(path, side, whole=True):
        def chunk(kind, content):
            checksum = zlib.crc32(kind + content).to_bytes(4, "big")
            return len(content).to_bytes(4, "big") + kind + content + checksum

        packed = zlib.compressobj(1)
        row = bytes(1 + 2 * side)  # filter 0, then the pixels
        data = b"".join([*(packed.compress(row) for _ in range(side if whole else 1)), packed.flush()])
        header = side.to_bytes(4, "big") * 2 + bytes([16, 0, 0, 0, 0])
        parts = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)

    return write


@pytest.fixture
def small_cifar(monkeypatch, tmp_path):
    """CIFAR-10 of 200 training and 40 test images, in its binary version; gives the folder that holds it."""
    published = replace(catalog.CIFAR10, train_count=200, test_count=40)
    monkeypatch.setitem(catalog.SETS, "cifar10", published)
    layout = published.layouts[1]
    (tmp_path / "store" / layout.folder).mkdir(parents=True)
    generator = np.random.default_rng(0)
    for file in (*layout.train, *layout.test):
        rows = generator.integers(0, 256, (40, 3073), dtype=np.uint8)
        rows[:, 0] = np.arange(40) % 10
        (tmp_path / "store" / layout.folder / file).write_bytes(rows.tobytes())
    return tmp_path / "store"


@pytest.fixture
def photographs():
    """Writes coloured images of noise: photographs(root, {folder: count})."""

    def call(root, counts, seed=0):
        """Write counts[folder] coloured images of noise into root/folder."""
        generator = np.random.default_rng(seed)
        for folder, count in counts.items():
            (root / folder).mkdir(parents=True)
            for index in range(count):
                pixels = generator.integers(0, 256, (20, 20, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / folder / f"{index:03}.png")
        return str(root)

    return call


@pytest.fixture
def check():
    """Asserts what is true of every Dataset."""

    def call(data):
        """What is true of every Dataset."""
        parts = (data.train, data.val, data.test)
        everything = np.concatenate(parts)
        assert len(np.unique(everything)) == len(everything) == len(data.images) == len(data.labels)
        for part in parts:
            assert (np.diff(part) > 0).all()
            assert part.dtype == np.int64
        assert data.images.dtype == np.uint8
        assert data.images.ndim == 4
        assert data.labels.dtype == np.int64
        assert data.labels.min() >= 0
        assert data.labels.max() < len(data.classes)
        assert not data.images.flags.writeable
        assert not data.labels.flags.writeable
        content = repr(data.images.shape).encode() + data.images.tobytes() + data.labels.astype("<i8").tobytes()
        assert data.sha256 == hashlib.sha256(content).hexdigest()

    return call


@pytest.fixture
def make_tar():
    """Writes a .tar.gz of (name or TarInfo) to bytes; by default CIFAR-10's files, each holding its own name."""

    def call(path, members=None):
        if members is None:
            members = {f"{LAYOUT.folder}/{file}": file.encode() for file in (*LAYOUT.train, *LAYOUT.test, LAYOUT.meta)}
        with tarfile.open(path, "w:gz") as tar:
            for member, content in members.items():
                info = tarfile.TarInfo(member) if isinstance(member, str) else member
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        return path

    return call


@pytest.fixture
def hidden(monkeypatch, tmp_path):
    """Hide the data, the cache and the proxy of this machine's user; the cache is tmp_path/cache."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("LENET_DATA", raising=False)
    monkeypatch.setenv("LENET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server():
    """Serves `files`, path to (status, bytes, announced length), and from any byte those in `resumes`.

    Lists the paths and ranges that were asked for in `asked` and `ranges`.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            status, body, length = self.server.files.get(self.path, (404, b"", 0))
            wanted = self.headers.get("Range")
            self.server.ranges.append(wanted)
            if wanted and status == 200 and self.path in self.server.resumes:
                begin = int(wanted.removeprefix("bytes=").removesuffix("-"))
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {begin}-{length - 1}/{length}")
                self.send_header("Content-Length", str(length - begin))
                self.end_headers()
                self.wfile.write(body[begin:])
                return
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.files, served.asked, served.resumes, served.ranges = {}, [], set(), []
    served.url = f"http://127.0.0.1:{served.server_address[1]}"
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.shutdown()
    thread.join()
    served.server_close()
