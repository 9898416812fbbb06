"""`chestmnist()` from a server of our own: fetched once, checked, kept, and refused with a way out."""

from __future__ import annotations

import hashlib
import io
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
import torch

from dlwidgets import teaching
from dlwidgets.teaching import chest_images, chestmnist

COUNTS = {"train": 60, "val": 20, "test": 30}


def arrays() -> dict[str, np.ndarray]:
    """Return a small file's arrays, shaped as ChestMNIST's."""
    random = np.random.default_rng(0)
    return {
        f"{part}_{kind}": random.integers(0, high, (n, *shape), dtype=np.uint8)
        for part, n in COUNTS.items()
        for kind, high, shape in (("images", 256, (28, 28)), ("labels", 2, (14,)))
    }


@pytest.fixture(scope="module")
def content() -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays())
    return file.getvalue()


class Zenodo:
    """A server that gives one file, and remembers what it was asked for."""

    def __init__(self, content: bytes):
        self.content, self.status, self.promised, self.asked = content, 200, None, []
        zenodo = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                zenodo.asked.append(self.path)
                self.send_response(zenodo.status)
                self.send_header("Content-Length", str(zenodo.promised or len(zenodo.content)))
                self.end_headers()
                self.wfile.write(zenodo.content)

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/files/chestmnist.npz?download=1"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        """Go offline."""
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def zenodo(content, monkeypatch, tmp_path):
    """A server in Zenodo's place, an empty home, and no proxy between."""
    server = Zenodo(content)
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    monkeypatch.setitem(chest_images.FILES, 28, (server.url, md5))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "*")
    for name in ("DLWIDGETS_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.close()


def test_the_parts_are_those_of_the_file(zenodo, tmp_path):
    data, expected = chestmnist(folder=tmp_path), arrays()
    for (X, y), part in ((data.train, "train"), (data.valid, "val")):
        assert X.dtype == y.dtype == torch.float32
        np.testing.assert_array_equal((X[:, 0] * 255).round().to(torch.uint8), expected[f"{part}_images"])
        np.testing.assert_array_equal(y, expected[f"{part}_labels"])
        assert 0 <= X.min() and X.max() <= 1
    assert data.input_shape == (1, 28, 28) and data.task == "multilabel"


def test_the_test_part_is_there_for_a_last_judgement(zenodo, tmp_path):
    data = chestmnist(folder=tmp_path, part="test")
    np.testing.assert_array_equal(data.valid[1], arrays()["test_labels"])
    assert "30 of the 30 of the test part" in data.about


def test_the_names_are_those_of_findings_in_its_order():
    assert tuple(chest_images.CLASSES) == teaching.findings(1, 1, size=32).classes


def test_the_address_and_the_checksum_are_those_of_medmnist():
    info = pytest.importorskip("medmnist").INFO["chestmnist"]
    assert chest_images.FILES[28] == (info["url"], info["MD5"])
    assert chest_images.FILES[64] == (info["url_64"], info["MD5_64"])
    assert chest_images.CLASSES == tuple(info["label"][str(c)] for c in range(14))


def test_it_is_fetched_once_and_then_kept(zenodo, tmp_path):
    first = chestmnist(folder=tmp_path)
    zenodo.close()
    second = chestmnist(folder=tmp_path)
    assert zenodo.asked == ["/files/chestmnist.npz?download=1"]
    assert torch.equal(first.train[0], second.train[0])
    assert [path.name for path in tmp_path.glob("*.npz")] == ["chestmnist.npz"]


def test_without_a_folder_it_is_kept_among_the_users_caches(zenodo, tmp_path, monkeypatch):
    chestmnist()
    assert (tmp_path / "home" / ".cache" / "dlwidgets" / "chestmnist.npz").is_file()
    monkeypatch.setenv("DLWIDGETS_DATA", str(tmp_path / "own"))
    chestmnist()
    assert (tmp_path / "own" / "chestmnist.npz").is_file()


def test_the_copy_of_medmnist_is_taken(zenodo, tmp_path, content):
    folder = tmp_path / "home" / ".medmnist"
    folder.mkdir(parents=True)
    (folder / "chestmnist.npz").write_bytes(content)
    chestmnist(folder=tmp_path / "data")
    assert not zenodo.asked and not (tmp_path / "data").exists()


def test_a_damaged_file_is_fetched_again(zenodo, tmp_path, content):
    (tmp_path / "chestmnist.npz").write_bytes(content[:-1])
    chestmnist(folder=tmp_path)
    assert (tmp_path / "chestmnist.npz").read_bytes() == content


def test_offline_the_error_says_where_to_put_the_file_and_what_else_there_is(zenodo, tmp_path):
    zenodo.close()
    with pytest.raises(RuntimeError) as caught:
        chestmnist(folder=tmp_path)
    said = str(caught.value)
    for words in (
        "chestmnist()",
        "is not there",
        "could not be fetched",
        zenodo.url,
        "in a browser",
        "findings()",
    ):
        assert words in said
    assert f"save it as {tmp_path / 'chestmnist.npz'}" in said and "\n" not in said
    assert not list(tmp_path.glob("*.npz")) and not list(tmp_path.glob(".*npz*"))


def test_offline_a_damaged_file_is_called_damaged_and_left_alone(zenodo, tmp_path):
    zenodo.close()
    (tmp_path / "chestmnist.npz").write_bytes(b"half")
    with pytest.raises(RuntimeError, match="is damaged"):
        chestmnist(folder=tmp_path)
    assert (tmp_path / "chestmnist.npz").read_bytes() == b"half"


@pytest.mark.parametrize("page", [b"<html>Please log in to the network</html>", b""])
def test_another_file_than_the_published_one_is_not_taken(zenodo, tmp_path, page):
    zenodo.content = page
    with pytest.raises(RuntimeError, match="is not the published file.*MD5.*in a browser"):
        chestmnist(folder=tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_a_transfer_that_breaks_off_leaves_nothing(zenodo, tmp_path, content):
    zenodo.content, zenodo.promised = content[: len(content) // 2], len(content)
    zenodo.server.RequestHandlerClass.protocol_version = "HTTP/1.0"
    with pytest.raises(RuntimeError, match="in a browser"):
        chestmnist(folder=tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_an_answer_of_an_error_is_told(zenodo, tmp_path):
    zenodo.status = 503
    with pytest.raises(RuntimeError, match="HTTPError: HTTP Error 503"):
        chestmnist(folder=tmp_path)


def test_a_folder_that_cannot_be_written_is_told(zenodo, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RuntimeError, match="nothing can be written there.*DLWIDGETS_DATA"):
        chestmnist(folder=tmp_path / "file" / "below")


def test_fewer_images_are_a_part_of_all_without_repetition(zenodo, tmp_path):
    everything, some = chestmnist(folder=tmp_path), chestmnist(15, 5, folder=tmp_path)
    assert len(some.train[0]) == 15 and len(some.valid[0]) == 5
    for part in ("train", "valid"):
        rows = {image.tobytes(): n for n, image in enumerate(getattr(everything, part)[0].numpy())}
        places = [rows[image.tobytes()] for image in getattr(some, part)[0].numpy()]
        assert places == sorted(set(places))
        assert torch.equal(getattr(everything, part)[1][places], getattr(some, part)[1])
    assert "15 of 60 images" in some.about and "5 of the 20 of the validation part" in some.about


def test_the_seed_decides_which_images_and_moves_no_global_stream(zenodo, tmp_path):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, same, other = (chestmnist(15, folder=tmp_path, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.train[0], same.train[0]) and not torch.equal(first.train[0], other.train[0])
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"size": 32}, ValueError, "size is 32; .* 28 and 64 pixels"),
        ({"part": "train"}, ValueError, "part is 'train'; give 'val' or 'test'"),
        ({"n_train": 0}, ValueError, "n_train is 0; give a whole number of at least 1"),
        ({"n_valid": 21}, ValueError, "n_valid is 21; give a whole number from 1 to 20"),
        ({"n_train": 0.5}, TypeError, "n_train is 0.5"),
    ],
)
def test_what_cannot_be_had_is_refused_in_a_sentence(zenodo, tmp_path, options, error, words):
    with pytest.raises(error, match=words):
        chestmnist(folder=tmp_path, **options)


def test_it_is_drawn_and_described_like_other_data(zenodo, tmp_path):
    data = chestmnist(folder=tmp_path)
    assert data.figure(6).axes
    assert data.describe().loc["edema", "train"] == arrays()["train_labels"][:, 9].sum()
    assert "CC BY 4.0" in repr(data) and "not for medical use" in " ".join(repr(data).split())
