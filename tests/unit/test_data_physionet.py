"""Fetching from PhysioNet, from a server of our own that asks for a login."""

import base64
import hashlib
import logging
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from radsynth.common.errors import UserError
from radsynth.data.downloads import download
from radsynth.data.physionet import Site
from radsynth.data.source import load_source
from radsynth.data.vindr_standin import write_standin

LOGIN, PASSWORD = "reader", "s3cret-pass"


class Handler(SimpleHTTPRequestHandler):
    """Serves the folder to the reader with the password; 403 to the user who has not signed."""

    asked: list[str] = []

    def do_GET(self):
        sent = self.headers.get("Authorization", "Basic ").removeprefix("Basic ")
        name, _, password = base64.b64decode(sent).decode().partition(":")
        status = 401 if password != PASSWORD else 403 if name != LOGIN else 200
        if status != 200:
            self.send_error(status)
            return
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A server's folder with three files, its address and the requests it has answered."""
    folder = tmp_path / "served"
    (folder / "images").mkdir(parents=True)
    for name in ("a.csv", "b.csv", "images/c.dicom"):
        (folder / name).write_text(f"content of {name}")
    asked = []
    handler = type("Own", (Handler,), {"asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: handler(*a, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PHYSIONET_USERNAME", LOGIN)
    monkeypatch.setenv("PHYSIONET_PASSWORD", PASSWORD)
    yield folder, f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def write_sums(folder):
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != "SHA256SUMS.txt"]
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()} {file.relative_to(folder)}\n" for file in files]
    (folder / "SHA256SUMS.txt").write_text("".join(lines))


@pytest.mark.parametrize("sums", [True, False])
def test_only_what_is_missing_is_fetched(site, tmp_path, caplog, sums):
    folder, url, asked = site
    if sums:
        write_sums(folder)
    target = tmp_path / "raw"
    (target / "images").mkdir(parents=True)
    (target / "a.csv").write_text("placed by hand")
    files = ["a.csv", "b.csv", "images/c.dicom"]
    caplog.set_level(logging.DEBUG)
    assert Site(url + "/", target).fetch(files) == 2
    assert (target / "a.csv").read_text() == "placed by hand"
    assert (target / "images/c.dicom").read_text() == "content of images/c.dicom"
    assert sorted(path for path in asked if "SHA" not in path) == ["/b.csv", "/images/c.dicom"]
    assert ("files are not checked" in caplog.text) == (not sums)
    encoded = base64.b64encode(f"{LOGIN}:{PASSWORD}".encode()).decode()
    assert not any(secret in caplog.text for secret in (LOGIN, PASSWORD, encoded))
    asked.clear()
    assert Site(url, target).fetch(files) == 0 and asked == [], "complete: the server is not even asked"
    assert PASSWORD not in caplog.text and base64.b64encode(f"{LOGIN}:{PASSWORD}".encode()).decode() not in caplog.text
    assert sorted(file.name for file in target.rglob("*") if file.is_file()) == sorted(
        ["a.csv", "b.csv", "c.dicom", *(["SHA256SUMS.txt"] if sums else [])]
    )


def test_an_interrupted_download_goes_on(site, tmp_path):
    folder, url, asked = site
    target = tmp_path / "raw"
    (folder / "b.csv").rename(folder / "hidden")
    with pytest.raises(UserError, match=r"b\.csv: http.* has no such file"):
        Site(url, target).fetch(["a.csv", "b.csv"])
    (folder / "hidden").rename(folder / "b.csv")
    asked.clear()
    assert Site(url, target).fetch(["a.csv", "b.csv"]) == 1
    assert [path for path in asked if "SHA" not in path] == ["/b.csv"]


def test_a_damaged_file_is_refused_and_not_kept(site, tmp_path):
    folder, url, _ = site
    write_sums(folder)
    (folder / "b.csv").write_text("damaged on the way")
    with pytest.raises(UserError, match="b.csv: could not be fetched .*hash") as caught:
        Site(url, tmp_path / "raw").fetch(["b.csv"])
    assert "\n" not in str(caught.value) and not (tmp_path / "raw" / "b.csv").exists()


@pytest.mark.parametrize(
    ("name", "password", "message"),
    [
        (LOGIN, "other-pass", "401: user name or password is wrong"),
        ("unsigned", PASSWORD, "403: no access; .* sign the data use agreement"),
        (LOGIN, "", "set PHYSIONET_USERNAME and PHYSIONET_PASSWORD"),
    ],
)
def test_no_access_is_one_clear_line(site, tmp_path, monkeypatch, name, password, message):
    _, url, _ = site
    monkeypatch.setenv("PHYSIONET_USERNAME", name)
    monkeypatch.setenv("PHYSIONET_PASSWORD", password)
    with pytest.raises(UserError, match=message) as caught:
        Site(url, tmp_path / "raw").fetch(["a.csv"])
    assert "\n" not in str(caught.value) and (not password or password not in str(caught.value))


def test_missing_images_are_left_out_only_when_asked_for(site, tmp_path, monkeypatch, caplog):
    folder, url, asked = site
    write_standin(folder, studies=2, height=128)
    gone, *others = sorted(folder.glob("images/*/*.dicom"))
    gone.unlink()
    classes = {"by": "birads", "groups": {"A": [1, 2, 3], "B": [4, 5]}, "several": "refuse"}
    dataset = {"source": "vindr_mammo", "path": str(tmp_path / "raw"), "base_url": url, "classes": classes}
    with pytest.raises(UserError, match=f"{gone.name}: .* has no such file"):
        download(dataset)
    download(dataset | {"skip_missing": True})
    fetched = sorted((tmp_path / "raw").glob("images/*/*.dicom"))
    assert [file.name for file in fetched] == [file.name for file in others] and f"{gone.name}: " in caplog.text
    source = load_source(dataset, ["A", "B"])
    assert len(source.records(64, 1)) == 7
    assert sum(len(files) for check, _, files in source.findings() if check == "file_missing") == 1

    monkeypatch.delenv("PHYSIONET_PASSWORD")
    asked.clear()
    with pytest.raises(UserError, match=f"1 files are missing, such as .*{gone.name}; place them there"):
        download(dataset)
    assert download(dataset | {"skip_missing": True})["downloaded_from"] is None and not asked


def test_vindr_fetches_the_tables_and_the_images_in_use(site, tmp_path):
    folder, url, asked = site
    write_standin(folder, studies=5, height=128)
    classes = {"by": "birads", "groups": {"A": [1, 2, 3], "B": [4, 5]}, "several": "refuse"}
    dataset = {"source": "vindr_mammo", "path": str(tmp_path / "raw"), "base_url": url, "classes": classes}
    dataset |= {"splits": ["test"], "views": ["CC"], "fit": "pad"}
    assert download(dataset)["downloaded_from"] == url
    assert len(list((tmp_path / "raw").glob("images/*/*.dicom"))) == 2
    asked.clear()
    assert download(dataset)["downloaded_from"] is None and not asked
    download(dataset | {"views": ["CC", "MLO"]})
    assert len([path for path in asked if path.endswith(".dicom")]) == 2
