"""Published weights: really downloaded, from a server of our own, and refused when they are not what was published."""

import hashlib
import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml
from radsynth.common.errors import UserError
from radsynth.common.weights import fetch_weights, read_registry, verify_weights, weights_entry

CONTENT = bytes(range(256)) * 64
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def publisher(tmp_path):
    """A server that publishes the folder it is given back with: (address, folder)."""
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "net.pth").write_bytes(CONTENT)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    server.server_close()
    thread.join()


def entry(url, **changes):
    fields = {"file": "net.pth", "url": url, "checksum": f"sha256:{SHA256}", "licence": "MIT", "source": "a test"}
    return fields | changes


@pytest.mark.parametrize(
    "checksum", [f"sha256:{SHA256}", f"sha256-prefix:{SHA256[:8]}", f"md5:{hashlib.md5(CONTENT).hexdigest()}"]
)
def test_download_is_checked_by_any_kind_of_checksum(publisher, tmp_path, checksum):
    target = tmp_path / "weights" / "net.pth"
    assert fetch_weights(target, entry(publisher[0] + "/net.pth", checksum=checksum)) == SHA256
    assert target.read_bytes() == CONTENT


def test_a_file_that_is_there_is_not_fetched_again(tmp_path):
    target = tmp_path / "net.pth"
    target.write_bytes(CONTENT)
    assert fetch_weights(target, entry("http://127.0.0.1:9/net.pth", size=len(CONTENT))) == SHA256


@pytest.mark.parametrize("corrupt", [CONTENT[:-1], CONTENT[:-1] + b"\0", b""])
def test_corrupt_download_is_refused_and_removed(publisher, tmp_path, corrupt):
    (publisher[1] / "net.pth").write_bytes(corrupt)
    target = tmp_path / "net.pth"
    with pytest.raises(UserError, match="the publisher's is"):
        fetch_weights(target, entry(publisher[0] + "/net.pth"))
    assert list(tmp_path.iterdir()) == [publisher[1]]


@pytest.mark.parametrize("path", ["http://127.0.0.1:9/net.pth", "{server}/absent.pth"])
def test_offline_without_the_file_says_what_to_put_where(publisher, tmp_path, path):
    url, target = path.format(server=publisher[0]), tmp_path / "net.pth"
    with pytest.raises(UserError) as caught:
        fetch_weights(target, entry(url))
    message = str(caught.value)
    assert str(target) in message and url in message and "\n" not in message
    assert not target.exists()


def test_wrong_file_placed_by_hand_is_refused_but_kept(tmp_path):
    target = tmp_path / "net.pth"
    target.write_bytes(b"another network")
    with pytest.raises(UserError, match="sha256 is [0-9a-f]{64}, the publisher's is"):
        fetch_weights(target, entry("http://127.0.0.1:9/net.pth"))
    with pytest.raises(UserError, match=rf"15 bytes, the publisher's file has {len(CONTENT)}"):
        verify_weights(target, entry("http://127.0.0.1:9/net.pth", size=len(CONTENT)))
    assert target.read_bytes() == b"another network"


def test_missing_file_is_named_with_its_address(tmp_path):
    with pytest.raises(UserError, match=r"net.pth: weights not found; download https://example.org/net.pth"):
        verify_weights(tmp_path / "net.pth", entry("https://example.org/net.pth"))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"checksum": "crc32:1234"}, "checksum crc32:1234, expected one of sha256"), ({"url": None}, "lacks url")],
)
def test_faulty_registry_is_refused(tmp_path, change, message):
    fields = {key: value for key, value in (entry("u") | change).items() if value is not None}
    path = tmp_path / "weights.yaml"
    path.write_text(yaml.safe_dump({"net": fields}))
    with pytest.raises(UserError, match=message):
        read_registry(path)


def test_the_registry_of_the_project():
    registry = read_registry()
    assert weights_entry("resnet18-f37072fd.pth") == registry["resnet18_imagenet"]
    with pytest.raises(UserError, match=r"net.pth: not in the registry"):
        weights_entry("net.pth")
    for item in registry.values():
        kind, digits = item["checksum"].split(":")
        length = {"sha256": 64, "md5": 32, "sha256-prefix": 8}[kind]
        assert re.fullmatch(f"[0-9a-f]{{{length}}}", digits)
        assert item["url"].startswith("https://") and item["url"].endswith("/" + item["file"])
