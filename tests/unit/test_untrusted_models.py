"""Models, wheels and checkpoints of others: nothing in them runs, reads elsewhere, or takes memory without measure."""

import ast
import contextlib
import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gaard.errors import CheckpointError, GaardError, ModelError
from gaard.models.aliases import embedded_folder
from gaard.models.fingerprint import file_sha256
from gaard.models.loading import load_model_and_tokenizer
from gaard.policy.saving import VALUE_HEAD
from gaard.rewards.classifier import ClassifierReward
from gaard.training.checkpoint import OPTIMIZER, POLICY, STATE, _digest, checkpoints
from tiny import tiny_trainer, word_tokenizer

ROOT = Path(__file__).resolve().parents[2]
ROOM = 4 * 2**30  # bytes of memory that a lie may take at most, beside what is taken already


class Payload:
    """Pickled, it writes a file where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def evil(tmp_path):
    """A pickle that leaves a mark; the mark must not be there at the end."""
    mark = tmp_path / "it-ran"
    pickle.loads(pickle.dumps(Payload(mark)))
    assert mark.exists()  # it works
    mark.unlink()
    path = tmp_path / "evil.pkl"
    torch.save({"weight": Payload(mark)}, path)
    yield path
    assert not mark.exists()


@pytest.fixture
def pocket(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(embedded_folder("pocket"), folder)
    return folder


# Pickle ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors", "model.gguf", "adapter_model.safetensors"])
def test_a_pickled_model_is_refused_and_not_unpickled(name, evil, pocket):
    (pocket / "model.safetensors").unlink()
    shutil.copy(evil, pocket / name)
    if name.startswith("adapter"):
        (pocket / "config.json").unlink()
        (pocket / "adapter_config.json").write_text('{"base_model_name_or_path": "pocket", "peft_type": "LORA"}')
    with pytest.raises(ModelError):
        load_model_and_tokenizer(pocket / name if name.endswith(".gguf") else pocket, quiet=True)


def test_an_index_that_names_a_pickle_among_its_shards_is_refused(evil, pocket):
    (pocket / "model.safetensors").rename(pocket / "other.safetensors")
    shutil.copy(evil, pocket / "shard.bin")
    names = load_file(pocket / "other.safetensors")
    for place in ("shard.bin", "../evil.pkl", str(evil)):
        index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(names, place)}
        (pocket / "model.safetensors.index.json").write_text(json.dumps(index))
        with pytest.raises(ModelError, match=r"names .* safetensors files of the same folder alone"):
            load_model_and_tokenizer(pocket, quiet=True)


def test_a_pickled_critic_is_refused_and_not_unpickled(evil, pocket, tmp_path):
    from gaard.policy.model import Policy
    from gaard.policy.saving import load_value_head

    lm, _ = load_model_and_tokenizer(pocket, quiet=True)
    shutil.copy(evil, pocket / VALUE_HEAD)
    with pytest.raises(ModelError, match="is not the value head of this model"):
        load_value_head(Policy(lm, 1.0, False, True), pocket)


def test_a_pickled_classifier_is_refused_and_not_unpickled(evil, tmp_path):
    folder = tmp_path / "judge"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "architectures": ["BertModel"]}))
    shutil.copy(evil, folder / "pytorch_model.bin")
    word_tokenizer(["a"]).save_pretrained(folder)
    with pytest.raises(ModelError, match="could not be loaded"):
        ClassifierReward(str(folder))


@pytest.mark.parametrize("file", [POLICY, OPTIMIZER])
def test_a_pickled_checkpoint_is_refused_and_not_unpickled(file, evil, tmp_path):
    """Its manifest is right, as whoever puts a pickle there can write it."""
    folder = tmp_path / "run"
    trainer = tiny_trainer(folder, max_steps=2, save_steps=1, save_total_limit=1)
    trainer.training_step()
    path = checkpoints(folder / "checkpoints")[0]
    shutil.copy(evil, path / file)
    signed(path, lambda state: state["hashes"].update({file: file_sha256(path / file)}))
    with pytest.warns(match="is damaged"), pytest.raises(CheckpointError, match="every checkpoint"):
        tiny_trainer(folder, max_steps=2, save_steps=1, save_total_limit=1).training_step()


def test_pickle_and_its_like_are_read_nowhere():
    """torch.load by weights_only=True alone; pickle by Ray's engine alone, of what its own process has sent."""
    for path in (ROOT / "src").rglob("*.py"):
        for call in (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)):
            name = ast.unparse(call.func)
            keywords = {one.arg: ast.unparse(one.value) for one in call.keywords}
            if name == "torch.load":
                assert keywords.get("weights_only") == "True", path
            if name in ("np.load", "numpy.load"):
                assert keywords.get("allow_pickle") == "False", path
            if name.split(".")[-1] in ("loads", "load", "Unpickler", "read_pickle") and "pickle" in name:
                assert path.name == "ray_engine.py", path
            assert name not in ("eval", "marshal.loads", "shelve.open", "joblib.load", "dill.load", "os.system"), path
            if name == "exec":
                assert path.name == "user_code.py", path


# Code that comes with a model -----------------------------------------------------------------------------------------


def test_every_loader_says_that_no_code_of_a_model_is_run():
    found = []
    for path in (ROOT / "src").rglob("*.py"):
        for call in (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)):
            name = ast.unparse(call.func)
            if name.startswith("Auto") and name.endswith(".from_pretrained"):
                keywords = {one.arg: ast.unparse(one.value) for one in call.keywords}
                assert keywords.get("trust_remote_code") == "False", (path, call.lineno)
                if "Model" in name and "gguf" not in path.name:
                    assert keywords.get("use_safetensors") == "True", (path, call.lineno)
                found.append(name)
    assert len(found) == 9


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_that_comes_with_a_model_does_not_run(file, pocket, tmp_path):
    mark = tmp_path / "it-ran"
    code = f"open({str(mark)!r}, 'w')\nfrom transformers import GPT2Config as C, GPT2Tokenizer as T\n"
    (pocket / "custom.py").write_text(code)
    content = json.loads((pocket / file).read_text())
    classes = {"AutoConfig": "custom.C", "AutoModelForCausalLM": "custom.C", "AutoTokenizer": ["custom.T", "custom.T"]}
    content |= {"auto_map": classes, "model_type": "custom", "tokenizer_class": "T"}
    (pocket / file).write_text(json.dumps(content))
    with contextlib.suppress(ModelError):  # the tokenizer is loaded without the class that is named
        load_model_and_tokenizer(pocket, quiet=True)
    assert not mark.exists()


def test_a_chat_template_reaches_nothing_outside_its_sandbox(tmp_path):
    mark = tmp_path / "it-ran"
    tokenizer = word_tokenizer(["w1", "w2"])
    escape = "cycler.__init__.__globals__.os.system('touch " + str(mark) + "')"
    tokenizer.chat_template = "{{ " + escape + " }}"
    from gaard.training.prompts import PromptStream

    with pytest.raises(GaardError):
        PromptStream([{"prompt": [{"role": "user", "content": "w1"}]}], tokenizer)
    assert not mark.exists()


# Checkpoints ----------------------------------------------------------------------------------------------------------


def signed(path, change):
    """Change a checkpoint's state, and its hash with it, which is no secret."""
    state = json.loads((path / STATE).read_text())
    state.pop("sha256")
    change(state)
    (path / STATE).write_text(json.dumps({**state, "sha256": _digest(state)}))


@pytest.mark.parametrize("name", ["/dev/zero", "../../../secret.txt", "../step-000001/policy.safetensors", "x.bin"])
def test_a_manifest_names_no_file_but_a_checkpoints_own(name, tmp_path):
    """/dev/zero would be read for ever."""
    trainer = tiny_trainer(tmp_path, max_steps=2, save_steps=1)
    trainer.training_step()
    path = checkpoints(tmp_path / "checkpoints")[0]
    signed(path, lambda state: state["hashes"].update({name: "0" * 64}))
    with pytest.warns(match="is damaged"), pytest.raises(CheckpointError, match="every checkpoint"):
        tiny_trainer(tmp_path, max_steps=2, save_steps=1).training_step()


@pytest.mark.parametrize("tensors", ["nodot", "0.exp_avg", "x.exp_avg"])
def test_an_optimizer_of_other_tensors_is_refused(tensors, tmp_path):
    trainer = tiny_trainer(tmp_path, max_steps=2, save_steps=1)
    trainer.training_step()
    path = checkpoints(tmp_path / "checkpoints")[0]
    save_file({tensors: torch.zeros(2)}, path / OPTIMIZER)
    signed(path, lambda state: state["hashes"].update({OPTIMIZER: file_sha256(path / OPTIMIZER)}))
    again = tiny_trainer(tmp_path, max_steps=2, save_steps=1)
    with pytest.warns(match="is damaged"), pytest.raises(CheckpointError, match="every checkpoint"):
        again.training_step()


@pytest.mark.parametrize(
    ("name", "value"),
    [("generators", {}), ("scheduler", 3), ("prompts", [99]), ("prompts", "x"), ("token_memory", None), ("ended", 0)],
)
def test_a_state_that_no_run_wrote_is_one_error(name, value, tmp_path):
    trainer = tiny_trainer(tmp_path, max_steps=2, save_steps=1)
    trainer.training_step()
    signed(checkpoints(tmp_path / "checkpoints")[0], lambda state: state.update({name: value}))
    again = tiny_trainer(tmp_path, max_steps=2, save_steps=1)
    if name == "ended":  # as good as false
        again.training_step()
        return
    with pytest.raises(CheckpointError, match="holds what no run wrote"):
        again.training_step()


@pytest.mark.parametrize("step", ["x", None, 7])
def test_a_checkpoint_of_another_step_than_its_name_is_damaged(step, tmp_path):
    tiny_trainer(tmp_path, max_steps=2, save_steps=1).training_step()
    signed(checkpoints(tmp_path / "checkpoints")[0], lambda state: state.update({"step": step}))
    with pytest.warns(match="is damaged"), pytest.raises(CheckpointError, match="every checkpoint"):
        tiny_trainer(tmp_path, max_steps=2, save_steps=1).training_step()
