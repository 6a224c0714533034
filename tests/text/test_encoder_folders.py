"""Where a checkpoint is looked for, in which order, and which of its files decide its vectors."""

import hashlib
import importlib.util

import pytest

from recbole_mpo.common.errors import ConfigError
from recbole_mpo.text import encoder_folders
from recbole_mpo.text.encoder_folders import checkpoint_hashes, first_line, hub_folder, local_folder
from recbole_mpo.text.encoders import build_encoder

needs_sentence_transformers = pytest.mark.skipif(
    importlib.util.find_spec("sentence_transformers") is None, reason="the [text] extra is not installed"
)


@needs_sentence_transformers
def test_folder_without_checkpoint(tmp_path):
    with pytest.raises(ConfigError, match=r"has no checkpoint \(neither modules.json nor config.json\)"):
        build_encoder(str(tmp_path))


@needs_sentence_transformers
def test_mistyped_folder_asks_no_network(monkeypatch):
    monkeypatch.setattr(encoder_folders, "_snapshot", lambda *_: pytest.fail("asked for a download"))
    with pytest.raises(ConfigError, match="the folder './models/bert' does not exist, and it cannot be a model's name"):
        build_encoder("./models/bert")


@needs_sentence_transformers
def test_name_that_cannot_be_fetched_says_what_to_do(monkeypatch):
    asked = []

    def unreachable(model_name, local_only):
        asked.append((model_name, local_only))
        raise ConnectionError("no route to host\nmore lines")

    monkeypatch.setattr(encoder_folders, "_snapshot", unreachable)
    with pytest.raises(ConfigError) as caught:
        build_encoder("minlm")
    message = str(caught.value)
    assert "text_encoder 'minlm' is not minilm, tfidf-svd or a folder" in message
    assert "(ConnectionError: no route to host). Offline, give the folder of a checkpoint" in message
    assert asked == [
        ("sentence-transformers/minlm", True),
        ("minlm", True),
        ("sentence-transformers/minlm", False),
        ("minlm", False),
    ]


@pytest.mark.parametrize("file", ["modules.json", "config.json"])
def test_a_folder_with_a_checkpoint_is_its_whole_path(tmp_path, monkeypatch, file):
    (tmp_path / "models" / "bert").mkdir(parents=True)
    (tmp_path / "models" / "bert" / file).touch()
    monkeypatch.chdir(tmp_path / "models")
    assert local_folder("bert") == (tmp_path / "models" / "bert").resolve()
    assert local_folder("google/bert") is None


def test_a_name_with_an_owner_is_looked_for_in_the_cache_first_and_as_it_is(monkeypatch, tmp_path):
    asked = []

    def only_remote(model_name, local_only):
        asked.append((model_name, local_only))
        if local_only:
            raise FileNotFoundError
        return tmp_path

    monkeypatch.setattr(encoder_folders, "_snapshot", only_remote)
    assert hub_folder("google/bert") == tmp_path
    assert asked == [("google/bert", True), ("google/bert", False)]


def test_hashes_are_of_what_decides_the_vectors_alone(tmp_path):
    names = ("config.json", "1_Pooling/config.json", "model.safetensors", "README.md", ".cache/x.json", "a.onnx")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert checkpoint_hashes(tmp_path) == {
        name: hashlib.sha256(name.encode()).hexdigest() for name in sorted(names[:3])
    }


def test_an_error_is_told_in_one_line():
    assert first_line(ValueError("one\ntwo")) == "ValueError: one" and first_line(ValueError()) == "ValueError"
