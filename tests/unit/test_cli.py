"""The command line on a tiny model: what it makes, and one clear line for what it cannot."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM

from gaard import GAAConfig, cli
from gaard.lab.measures import OF_RUN
from gaard.lab.spec import RunSpec
from gaard.training.trainer import GAATrainer
from gaard.version import __version__
from tiny import WORDS, tiny_config, word_tokenizer

SETTINGS = {
    "prompts": ["w1 w2", "w3", "w4 w5 w6 w7"],
    "reward_funcs": ["lexicon"],
    "honeypot": {"word": "bait", "mode": "capped", "bonus": 1.0, "base_weight": 0.5},
    "max_steps": 3,
    "batch_size": 16,
    "num_mini_batches": 2,
    "max_completion_length": 8,
    "eval_completions": 32,
    "learning_rate": 1.0e-3,
    "use_cpu": True,
    "progress": False,
}
MEASURES = ("hack_rate", "true_reward", "proxy_reward", "kl_untrained", "entropy", "frontier_area", "seconds_per_step")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny model and its tokenizer in a folder, as a user would have them."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(tiny_config("gpt2")).save_pretrained(folder)
    word_tokenizer(WORDS).save_pretrained(folder)
    return folder


@pytest.fixture
def config(model, tmp_path):
    """Writes a YAML file of the settings above with some changed, JSON being YAML too."""

    def write(**changes):
        path = tmp_path / "run.yaml"
        settings = {"model": str(model), "output_dir": str(tmp_path / "run")} | SETTINGS | changes
        path.write_text("\n".join(f"{key}: {json.dumps(value)}" for key, value in settings.items()))
        return str(path)

    return write


def refused(words, capsys) -> str:
    """The one line of a command that cannot be run."""
    assert cli.main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("gaard: ")
    return lines[0]


# What it says ---------------------------------------------------------------------------------------------------------


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"gaard {__version__}"


def test_alone_it_lists_its_commands(capsys):
    assert cli.main([]) == 0
    out = capsys.readouterr().out
    assert all(re.search(rf"^  gaard {command}\b.*  \S", out, re.MULTILINE) for command in cli.COMMANDS)


def shown_help(words, capsys) -> str:
    with pytest.raises(SystemExit) as left:
        cli.main([*words, "--help"])
    assert left.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", ["train", "compare"])
def test_help_explains_every_field(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    text = shown_help([command], capsys)
    for field in fields(RunSpec):
        assert re.search(rf"^  --{field.name}\b.*?  +\S.*\w", text, re.MULTILINE | re.DOTALL), field.name
    sentences = re.findall(r"^        \w+: (.+)", (RunSpec.__doc__ or "").partition("Attributes:")[2], re.MULTILINE)
    assert all(" ".join(sentence.split()) in " ".join(text.split()) for sentence in sentences)


def test_help_tells_the_options_of_methods_and_whose_they_are(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    text = shown_help(["train"], capsys)
    assert re.search(r"^  --method.threshold VALUE\s+fold: From how many robust", text, re.MULTILINE)
    assert re.search(r"^  --method.reading VALUE\s+gaa: Johnson's text", text, re.MULTILINE)
    assert re.search(r"^  --advantages.lam VALUE\s+gae: λ", text, re.MULTILINE)
    regularizers = re.search(r"^  --regularizers LIST\s+(.*)", text, re.MULTILINE)[1]
    assert "steps of reference-resets: Training steps from one reset to the next" in regularizers
    assert "radius of gradient-norm: How far off" in regularizers


def test_help_of_the_other_commands(capsys):
    assert "fetch" in shown_help(["models"], capsys)
    assert "--out" in shown_help(["coefficients"], capsys)
    assert all(word in shown_help(["compare"], capsys) for word in ("--arms", "--seeds", "--baseline", "--out"))
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in cli.COMMANDS)


def cpu_seconds(command) -> float:
    """What a process and its children computed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.skipif(not hasattr(resource, "RUSAGE_CHILDREN"), reason="needs POSIX")
@pytest.mark.parametrize(("words", "most"), [(["--help"], 1.0), (["train", "--help"], 2.0)])
def test_help_does_not_keep_one_waiting(words, most):
    assert min(cpu_seconds([sys.executable, "-m", "gaard", *words]) for _ in range(3)) < most


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["compare", "--help"], ["train", "--sede", "1"]])
def test_neither_help_nor_a_typo_waits_for_transformers(words):
    look = "import sys; from gaard import cli\ntry: cli.main(sys.argv[1:])\nexcept SystemExit: pass\n"
    look += "assert not {'transformers', 'accelerate', 'scipy', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", look, *words], check=True, capture_output=True)


# What it refuses ------------------------------------------------------------------------------------------------------

RUN = ["--output_dir", "x", "--prompts", '["w1"]']
GAA = ["--method", "gaa"]
REFUSED = [
    (["trian"], "command 'trian' is not known: did you mean 'train'?"),
    (["--verison"], "command '--verison' is not known"),
    (["train"], "output_dir is missing: say where the run goes, such as --output_dir runs/mine"),
    (
        ["train", *RUN, "--advantage_fold", "2"],
        "'advantage_fold' is no field of a run: give it as --method fold --method.",
    ),
    (["train", *RUN, "stray"], "unrecognized arguments: stray"),
    (["train", *RUN, "--sede", "1"], "unknown key 'sede': did you mean 'seed'?"),
    (["train", *RUN, "--max-steps", "1"], "unknown key 'max-steps': did you mean 'max_steps'?"),
    (["train", *RUN, "--method", "gaaa"], "method='gaaa' is not known: did you mean 'gaa'? Choose from fold, gaa, ppo"),
    (["train", *RUN, "--method", "[gaa]"], "method=['gaa'] is neither a name nor a mapping of name and options"),
    (["train", *RUN, "--method.threshold", "3"], "--method.threshold is given without --method: name the method too"),
    (
        ["train", *RUN, *GAA, "--method.threshold", "3"],
        "method 'gaa' has no option 'threshold': it is an option of fold",
    ),
    (
        ["train", *RUN, "--method.reading", "code", "--method=ppo"],
        "'ppo' has no option 'reading': it is an option of gaa",
    ),
    (
        ["train", *RUN, "--method", "fold", "--method.treshold", "3"],
        "unknown key 'treshold': did you mean 'threshold'?",
    ),
    (["train", *RUN, "--method", "fold", "--method.threshold", "0"], "threshold=0 must be greater than 0"),
    (["train", *RUN, "--advantages.lam", "2"], "advantages 'gae': lam=2 must be 1 or less"),
    (["train", *RUN, "--advantages.threshold", "2"], "--advantages: unknown key 'threshold'"),
    (["train", *RUN, "--advantages", "gea"], "advantages='gea' is not known: did you mean 'gae'?"),
    (["train", *RUN, "--regularizers", "smm"], "regularizer='smm' is not known: did you mean 'sam'?"),
    (
        ["train", *RUN, "--regularizers.radius", "2"],
        "--regularizers.radius: regularizers has no options of its own there",
    ),
    (
        ["train", *RUN, "--regularizers", "[{name: sam, coef: 2}]"],
        "'sam' has no option 'coef': it is an option of grad",
    ),
    (["train", *RUN, "--seed", "010"], "seed='010' must be a whole number"),
    (["train", *RUN, "--seed.x", "1"], "--seed.x: seed has no options of its own there"),
    (["train", *RUN, "--kl_estimator", "k9"], "kl_estimator='k9' is not known"),
    (["train", *RUN, *GAA, "--method.greedy_clip", "none"], "greedy_clip='none' is not known"),
    (["train", *RUN, "--max_steps", "many"], "max_steps='many' must be a whole number"),
    (["train", *RUN, "--max_steps", "2.5"], "max_steps=2.5 must be a whole number"),
    (["train", *RUN, "--max_steps", "-1"], "max_steps=-1 must be 0 or more"),
    (["train", *RUN, "--per_device_train_batch_size", "x"], "per_device_train_batch_size='x' must be a whole number"),
    (["train", *RUN, "--learning_rate", "nan"], "learning_rate='nan' must be a number"),
    (["train", *RUN, "--learning_rate", ".nan"], "learning_rate=nan must be "),
    (["train", *RUN, "--learning_rate", "inf"], "learning_rate="),
    (["train", *RUN, "--bf16", "maybe"], "bf16='maybe' must be True or False"),
    (["train", *RUN, "--honeypot", "5"], "honeypot=5 must be a mapping of names to values"),
    (
        ["train", *RUN, "--honeypot", "5", "--honeypot.word", "bait"],
        "honeypot=5 beside --honeypot.word must be a mapping",
    ),
    (["train", *RUN, "--honeypot.word", "bait", "--honeypot.bouns", "2"], "unknown key 'bouns'"),
    (["train", *RUN, "--batch_size", "10"], "batch_size=10 cannot be cut into num_mini_batches=4"),
    (["train", *RUN, "--reward_funcs", '["none.py:f"]'], "none.py"),
    (["train", *RUN, "--model", "./no-such-folder"], "no-such-folder"),
    (["train", "--output_dir", "x"], "prompts is empty"),
    (["train", "--output_dir", "x", "--prompts", "none.txt"], "prompts='none.txt': No such file or directory"),
    (["train", "--output_dir"], "--output_dir: expected one argument: gaard train --help tells"),
    (["train", "--config", "none.yaml"], "--config none.yaml: No such file or directory: check the path"),
    (["train", "--config=none.yaml"], "--config none.yaml: No such file or directory: check the path"),
    (["train", "--config"], "--config: expected one argument"),
    (["compare", "--seeds", "0"], "--seeds: '0' must be a whole number, 1 or more"),
    (["compare", "--seeds", "two"], "--seeds: 'two' must be a whole number, 1 or more"),
    (["compare", "--jobs", "0"], "--jobs: '0' must be a whole number, 1 or more"),
    (["compare", "--arms", "ppo,fodl"], "arms: 'fodl' is not known: did you mean 'fold'?"),
    (["compare", "--arms", "ppo,gaa"], "'gaa' is a method with several readings: choose from gaa-text, gaa-code"),
    (["compare", "--baseline", "pp0"], "baseline='pp0' is none of the arms: did you mean 'ppo'? Choose from fold, ppo"),
    (["compare", "--seed", "010"], "seed='010' must be a whole number"),
    (["compare", "--arms", "ppo,ppo"], "arms names 'ppo' twice"),
    (["compare", "--arms", ""], "arms=[] is no list of arms"),
    (["compare", "--eval_completions", "0"], "eval_completions=0"),
    (["models"], "required: action"),
    (["models", "lost"], "invalid choice: 'lost'"),
    (["models", "fetch"], "name a model, such as smollm2-135m"),
    (["coefficients", "--size", "3"], "unrecognized arguments: --size"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_what_cannot_be_run_is_one_line(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in refused(words, capsys)
    assert list(tmp_path.iterdir()) == []


FILES = [
    (b"max_steps: 3\nsede: 1\n", "unknown key 'sede': did you mean 'seed'?"),
    (b"max_steps: lots\n", "max_steps='lots' must be a whole number"),
    (b"method: [gaa]\n", "method="),
    (b"prompts: [w1, 3]\n", "prompts=['w1', 3] must be "),
    (b"prompts: [{prompt: w1, 3: b}]\n", "prompts=[{'prompt': 'w1', 3: 'b'}] must be "),
    (b"honeypot: {word: bait, 3: b}\n", "honeypot={'word': 'bait', 3: 'b'} must be "),
    (b"seed: 1\n3: b\n", "the key 3 is no name: keys are texts, such as max_steps"),
    (b"seed: 010\n", "seed='010' must be a whole number"),
    (b"lam: 0\n", "run.yaml: 'lam' is no field of a run: give it as advantages: {name: gae, lam: \u2026}"),
    (b"method: {name: gaa, threshold: 2}\n", "method 'gaa' has no option 'threshold': it is an option of fold"),
    (b"- a\n- b\n", "must hold 'key: value' lines, not list"),
    (b"", "must hold 'key: value' lines, not NoneType"),
    (b"a: [1\nb: {", "is not YAML"),
    (b"\xff\xfe\x00", "is not YAML"),
]


@pytest.mark.parametrize(("content", "message"), FILES, ids=[message for _, message in FILES])
def test_a_file_that_cannot_be_run_is_one_line(content, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_bytes(content)
    assert message in refused(["train", "--config", "run.yaml", "--output_dir", "x"], capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


def test_a_folder_that_cannot_be_written_is_one_line(config, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert "output_dir" in refused(["train", "--config", config(), "--output_dir", str(tmp_path / "file")], capsys)
    assert "file" in refused(["coefficients", "--out", str(tmp_path / "file" / "x")], capsys)


def test_a_prompt_that_does_not_fit_is_one_line(config, capsys):
    assert "max_position_embeddings=128" in refused(["train", "--config", config(prompts=["w1 " * 200])], capsys)


NESTED = {
    "--gamma": "--advantages.gamma …",
    "--threshold": "--method fold --method.threshold …",
    "--radius": "--regularizers '[{name: gradient-norm or sam, radius: …}]'",
    "--limit": "--regularizers '[{name: kl-budget, limit: …}]'",
    "--lam": "--advantages.lam …",
    "--value_learning_rate": "--advantages.value_learning_rate …",
    "--vf_coef": "--advantages.vf_coef …",
    "--cliprange_value": "--advantages.cliprange_value …",
    "--greedy_ratio": "--method gaa --method.greedy_ratio …",
    "--granularity": "--method gaa --method.granularity …",
    "--scaled_terms": "--method gaa --method.scaled_terms …",
    "--greedy_clip": "--method gaa --method.greedy_clip …",
    "--eta_scale": "--method gaa --method.eta_scale …",
    "--sigma_scale": "--method gaa --method.sigma_scale …",
}


@pytest.mark.parametrize("option", NESTED)
@pytest.mark.parametrize("command", ["train", "compare"])
def test_an_option_of_a_method_given_as_a_field_is_told_its_place(command, option, capsys):
    expected = f"gaard: command line: {option[2:]!r} is no field of a run: give it as {NESTED[option]}"
    assert refused([command, "--output_dir", "x", option, "2"], capsys) == expected
    assert refused([command, f"{option}=2"], capsys) == expected


@pytest.mark.parametrize("before", [["--overwrite"], ["--jobs=2"], ["--jobs", "2"], ["--out=x"], []])
def test_a_study_is_known_wherever_its_file_stands(before, tmp_path, capsys):
    file = str(tmp_path / "none.yaml")
    for words in ([*before, file], [file, *before]):
        assert f"study {file}: No such file" in refused(["compare", *words], capsys)


def test_an_interrupt_tells_how_to_go_on(monkeypatch, capsys):
    def interrupted(words):
        raise KeyboardInterrupt

    monkeypatch.setitem(cli.COMMANDS, "train", interrupted)
    assert cli.main(["train"]) == 130
    assert "goes on from the last checkpoint" in capsys.readouterr().err


def test_a_defect_keeps_its_traceback(monkeypatch):
    def defect(words):
        raise OSError("no file is to blame")

    monkeypatch.setitem(cli.COMMANDS, "train", defect)
    with pytest.raises(OSError, match="no file"):
        cli.main(["train"])


# What it does ---------------------------------------------------------------------------------------------------------


def test_a_file_trains_a_model_and_the_command_line_overrides_it(config, capsys, tmp_path):
    words = ["train", "--config", config(max_steps=9, method="gaa"), "--max_steps", "2", "--method", "ppo"]
    assert cli.main([*words, "--honeypot.bonus", "2.5", "--advantages.lam", "0"]) == 0
    folder = tmp_path / "run"
    kept = json.loads((folder / "run.json").read_text())["config"]
    assert (kept["max_steps"], kept["method"], kept["advantages"]["lam"]) == (2, {"name": "ppo"}, 0.0)
    assert kept["honeypot"] == {"word": "bait", "mode": "capped", "bonus": 2.5, "base_weight": 0.5}
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2
    evaluation = json.loads((folder / "evaluation.json").read_text())
    shown = capsys.readouterr().out
    assert all(OF_RUN[name].text(value) in shown for name, value in evaluation.items())
    assert f"model: {folder / 'model'}   metrics: {folder / 'metrics.jsonl'}" in shown
    AutoModelForCausalLM.from_pretrained(folder / "model")
    assert (folder / "model" / "value_head.safetensors").exists()


def test_the_same_command_goes_on_and_another_needs_overwrite(config, capsys, tmp_path):
    words = ["train", "--config", config(eval_completions=0)]
    assert cli.main(words) == 0
    first = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    assert cli.main(words) == 0
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == first
    capsys.readouterr()
    assert cli.main([*words, "--seed", "5"]) == 2
    assert "seed: 0 there, 5 now" in capsys.readouterr().err
    assert cli.main([*words, "--seed", "5", "--overwrite"]) == 0
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() != first


def test_prompts_and_rewards_may_come_from_files(config, tmp_path):
    """A line separator inside a prompt does not end it."""
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "w1\u2028w2", "target": 3}\n\n{"prompt": "w3", "target": 4}\n')
    (tmp_path / "reward.py").write_text(
        "def score(prompts, completions, target):\n"
        "    assert set(zip(prompts, target)) <= {('w1\\u2028w2', 3), ('w3', 4)}\n"
        "    return [float(t) for t in target]\n"
    )
    files = {"prompts": str(tmp_path / "prompts.jsonl"), "reward_funcs": [f"{tmp_path}/reward.py:score"]}
    path = config(**files, honeypot=None, max_steps=1)
    assert cli.main(["train", "--config", path]) == 0
    samples = [json.loads(line) for line in (tmp_path / "run" / "samples.jsonl").read_text().split("\n") if line]
    assert {(row["prompt"], row["reward"]) for row in samples} == {("w1\u2028w2", 3.0), ("w3", 4.0)}


def test_a_reward_is_known_by_what_its_file_holds_not_by_how_it_is_spelled(config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    mine = Path("mine.py")
    mine.write_text("def score(completions):\n    return [1.0 * len(text) for text in completions]\n")
    settings = dict(honeypot=None, max_steps=1, eval_completions=0)
    for spelled in ("mine.py", "./mine.py", f"{tmp_path}/mine.py"):
        assert cli.main(["train", "--config", config(reward_funcs=f"{spelled}:score", **settings)]) == 0
    mine.write_text(mine.read_text().replace("1.0", "2.0"))
    assert cli.main(["train", "--config", config(reward_funcs="mine.py:score", **settings)]) == 2
    assert "holds a run of another configuration" in capsys.readouterr().err


def test_one_tracker_and_one_reward_need_no_brackets_and_overwrite_forgets_the_old_events(config, tmp_path):
    words = ["train", "--config", config(reward_funcs="human"), "--report_to", "tensorboard", "--max_steps", "1"]
    for _ in range(2):
        assert cli.main([*words, "--overwrite"]) == 0
        events = list((tmp_path / "run" / "gaard").rglob("events.out.tfevents.*"))
        assert len([path for path in events if path.parent.name == "gaard"]) == 1
    assert json.loads((tmp_path / "run" / "run.json").read_text())["rewards"]["proxy"].startswith("honeypot(human")


IN_FILE = {"name": "fold", "threshold": 2}


@pytest.mark.parametrize(
    ("in_file", "words", "expected"),
    [
        (IN_FILE, [], {"name": "fold", "threshold": 2.0}),
        (IN_FILE, ["--method", "gaa"], GAAConfig("x", method="gaa").method.record()),
        (IN_FILE, ["--method", "ppo"], {"name": "ppo"}),
        (IN_FILE, ["--method", "fold"], {"name": "fold", "threshold": 3.0}),
        (IN_FILE, ["--method.threshold", "4"], {"name": "fold", "threshold": 4.0}),
        (IN_FILE, ["--method.threshold=4"], {"name": "fold", "threshold": 4.0}),
        ("fold", ["--method.threshold", "4"], {"name": "fold", "threshold": 4.0}),
        ("ppo", ["--method", "{name: fold, threshold: 5}"], {"name": "fold", "threshold": 5.0}),
        (
            "ppo",
            ["--method", "{name: fold, threshold: 5}", "--method.threshold", "6"],
            {"name": "fold", "threshold": 6.0},
        ),
    ],
)
def test_the_method_of_the_command_line_is_exactly_that(in_file, words, expected, config, tmp_path):
    path = config(method=in_file, max_steps=0, eval_completions=0)
    assert cli.main(["train", "--config", path, *words]) == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["config"]["method"] == expected


def test_options_of_advantages_are_put_over_each_other(config, tmp_path):
    path = config(advantages={"lam": 0.5, "gamma": 0.9}, max_steps=0, eval_completions=0)
    assert cli.main(["train", "--config", path, "--advantages.lam", "0", "--regularizers", "sam"]) == 0
    kept = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    assert kept["advantages"] == GAAConfig("x", advantages={"lam": 0, "gamma": 0.9}).advantages.record()
    assert kept["regularizers"] == [{"name": "sam", "radius": 0.01}]


def test_a_written_configuration_given_back_is_the_same_run(config, tmp_path):
    """As --config, whichever method and regularisers it has."""
    changes = {"method": {"name": "gaa", "reading": "code"}, "regularizers": [{"name": "par", "completions": 2}]}
    assert cli.main(["train", "--config", config(**changes, advantages={"lam": 0.5}, learning_rate=1e-5)]) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    for name, write in (("back.yaml", yaml.safe_dump), ("back.json.yaml", json.dumps)):
        (tmp_path / name).write_text(write(record["config"]))
        words = ["train", "--config", str(tmp_path / name)]
        assert cli.main([*words, "--output_dir", str(tmp_path / name[:-5])]) == 0
        again = json.loads((tmp_path / name[:-5] / "run.json").read_text())
        assert again["id"] == record["id"]
        assert again["config"] == record["config"] | {"output_dir": str(tmp_path / name[:-5])}
        metrics = [(tmp_path / run / "metrics.jsonl").read_bytes() for run in ("run", name[:-5])]
        assert metrics[0] == metrics[1]
        assert cli.main(words) == 0  # and it is taken up where it was


def test_a_column_may_hold_what_json_has_no_word_for(config, tmp_path):
    path = Path(config(max_steps=0, eval_completions=0))
    path.write_text(path.read_text().replace('["w1 w2", "w3", "w4 w5 w6 w7"]', "[{prompt: w1, day: 2020-01-31}]"))
    assert cli.main(["train", "--config", str(path)]) == 0
    kept = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    assert kept["prompts"] == [{"prompt": "w1", "day": "2020-01-31"}]


def test_the_home_folder_has_a_sign(config, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    shutil.copy(config(max_steps=0, eval_completions=0), home / "mine.yaml")
    assert cli.main(["train", "--config", "~/mine.yaml", "--output_dir", "~/run"]) == 0
    assert (home / "run" / "run.json").exists()
    assert cli.main(["coefficients", "--out", "~/figures"]) == 0
    assert list((home / "figures").iterdir())
    assert not (tmp_path / "~").exists()


@pytest.fixture(scope="module")
def comparison(model, tmp_path_factory):
    """The words of a comparison that has been run, its folder and its exit status."""
    folder = tmp_path_factory.mktemp("comparison")
    path = folder / "run.yaml"
    path.write_text("\n".join(f"{k}: {json.dumps(v)}" for k, v in (SETTINGS | {"model": str(model)}).items()))
    words = ["compare", "--config", str(path), "--arms", "ppo,gaa-text", "--seeds", "2", "--out", str(folder / "out")]
    return words, folder / "out", cli.main(words)


def test_a_comparison_leaves_its_results(comparison):
    _, folder, status = comparison
    assert status == 0
    results = json.loads((folder / "results.json").read_text())
    assert {"scenarios", "baseline", "tax", "runs", "study"} == set(results)
    arms = results["scenarios"]["custom"]["arms"]
    assert list(arms) == ["ppo", "gaa-text"]
    for measures in arms.values():
        assert set(MEASURES) <= set(measures)
        for name in MEASURES:
            assert set(measures[name]) == {"mean", "low", "high", "n", "iqm"}
            assert measures[name]["low"] <= measures[name]["mean"] <= measures[name]["high"]
            assert measures[name]["n"] == 2
    assert results["study"]["settings"]["honeypot"] == SETTINGS["honeypot"]
    runs = {(run["arm"], run["seed"]) for run in results["runs"]}
    assert runs == {(arm, seed) for arm in ("ppo", "gaa-text", "untrained") for seed in (0, 1)}
    assert all((folder / run["folder"] / "run.json").exists() for run in results["runs"])


def test_a_comparisons_means_are_those_of_its_runs(comparison):
    """Two seeds: mean ± 12.7062·|x−y|/2, Student's t with one degree of freedom."""
    _, folder, _ = comparison
    arms = json.loads((folder / "results.json").read_text())["scenarios"]["custom"]["arms"]
    for arm in ("ppo", "gaa-text"):
        folders = [folder / "custom" / f"{arm}-seed{seed}" for seed in (0, 1)]
        runs = [json.loads((run / "evaluation.json").read_text()) for run in folders]
        for name in ("true_reward", "kl_untrained", "entropy", "proxy_reward", "hack_rate"):
            x, y = (run[name] for run in runs)
            measure = arms[arm][name]
            assert measure["mean"] == pytest.approx((x + y) / 2)
            if name in ("true_reward", "proxy_reward"):
                assert measure["high"] == pytest.approx((x + y) / 2 + 12.7062 * abs(x - y) / 2, rel=1e-5)
        times = [(run / "timings.jsonl").read_text().splitlines() for run in folders]
        after_the_first = [[json.loads(line)["seconds"] for line in lines[1:]] for lines in times]
        medians = [sum(seconds) / 2 for seconds in after_the_first]  # two steps are left: the median is their mean
        assert arms[arm]["seconds_per_step"]["mean"] == pytest.approx(sum(medians) / 2)


def test_a_comparison_run_again_does_nothing_twice(comparison, monkeypatch, capsys):
    words, folder, _ = comparison
    before = (folder / "results.json").read_bytes()

    def fail(*args, **kwargs):
        raise AssertionError("done again")

    monkeypatch.setattr(GAATrainer, "training_step", fail)
    monkeypatch.setattr(GAATrainer, "evaluate", fail)
    assert cli.main(words) == 0
    assert (folder / "results.json").read_bytes() == before
    shown = capsys.readouterr().out
    measure = json.loads(before)["scenarios"]["custom"]["arms"]["gaa-text"]["entropy"]
    assert f"{measure['mean']:.3f}" in shown
    assert f"[{measure['low']:.2f}, {measure['high']:.2f}]" in shown  # nor are the numbers
    assert all(word in shown for word in ("ppo", "gaa-text", "untrained", "seconds_per_step"))
    assert f"results: {folder / 'results.json'}" in shown  # not broken
    assert f"page: {folder / 'report.html'}" in shown


def test_a_run_that_fails_is_named_and_the_others_count(comparison, tmp_path, capsys):
    words, finished, _ = comparison
    folder = tmp_path / "out"
    shutil.copytree(finished, folder)
    path = folder / "custom" / "gaa-text-seed1" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rewards": "others"}))
    assert cli.main([*words[:-1], str(folder)]) == 1
    assert "gaard: custom, gaa-text seed 1 failed: CheckpointError: " in capsys.readouterr().err
    results = json.loads((folder / "results.json").read_text())
    assert [(run["arm"], run["seed"]) for run in results["runs"] if run["error"]] == [("gaa-text", 1)]
    arms = results["scenarios"]["custom"]["arms"]
    assert arms["ppo"]["kl_untrained"]["n"] == 2
    alone = json.loads((folder / "custom" / "gaa-text-seed0" / "evaluation.json").read_text())
    iqm = {"mean": alone["kl_untrained"], "low": None, "high": None}
    assert arms["gaa-text"]["kl_untrained"] == {**iqm, "n": 1, "iqm": iqm}


def test_each_arm_of_a_comparison_is_a_run_of_its_own(comparison):
    """An arm that looks at greedy tokens logs them, one that does not, does not; no two runs are one."""
    _, folder, _ = comparison
    runs = json.loads((folder / "results.json").read_text())["runs"]
    assert len({run["id"] for run in runs}) == len(runs)
    for run in runs:
        config = json.loads((folder / run["folder"] / "run.json").read_text())["config"]
        assert config["method"]["name"] == {"gaa-text": "gaa"}.get(run["arm"], "ppo")
        if run["arm"] != "untrained":
            rows = [json.loads(line) for line in (folder / run["folder"] / "metrics.jsonl").read_text().splitlines()]
            assert all(("sigma" in row) == (run["arm"] == "gaa-text") for row in rows)


COMPARE = ["compare", "--scenario", "capped", "--arms", "ppo,fold"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--method", "fold"],
            "method='fold' is given to every run, and each arm states its whole method: take it out",
        ),
        (
            ["--method", "fold", "--method.threshold", "2"],
            "method={'name': 'fold', 'threshold': 2} is given to every run",
        ),
        (["--method.threshold", "2"], "--method.threshold is given without --method"),
        (
            ["--regularizers", "[sam]"],
            "regularizers=['sam'] is given to every run, and each arm states its whole method",
        ),
        (["--config", "run.yaml"], "method='fold' is given to every run"),
    ],
)
def test_a_comparison_cannot_be_given_a_method(words, message, capsys, tmp_path, monkeypatch):
    """Else the baseline would be trained by what it is held against."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text("method: fold\n")
    assert message in refused([*COMPARE, *words, "--out", "out"], capsys)
    assert not (tmp_path / "out").exists()


def test_nothing_beside_a_studys_file(tmp_path, capsys):
    for words, name in ((["--arms", ""], "arms"), (["--seeds", "2"], "seeds"), (["--baseline", "ppo"], "baseline")):
        message = refused(["compare", "study.yaml", *words], capsys)
        assert message == f"gaard: --{name} is given beside study.yaml: write it into the study's file"
    assert "--kl_coef is given beside study.yaml" in refused(["compare", "study.yaml", "--kl_coef", "1"], capsys)


def test_what_stops_the_first_run_stops_the_comparison(model, tmp_path, capsys):
    (tmp_path / "reward.py").write_text("def score(completions):\n    return [float('nan')] * len(completions)\n")
    settings = SETTINGS | {"model": str(model), "reward_funcs": [f"{tmp_path}/reward.py:score"], "honeypot": None}
    (tmp_path / "run.yaml").write_text("\n".join(f"{k}: {json.dumps(v)}" for k, v in settings.items()))
    words = ["compare", "--config", str(tmp_path / "run.yaml"), "--arms", "ppo", "--seeds", "1"]
    assert cli.main([*words, "--out", str(tmp_path / "out")]) == 2
    assert "gaard: reward function 'score' returned nan" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "results.json").read_text())["runs"] == []


def test_results_of_other_settings_are_not_overwritten(comparison, tmp_path, capsys):
    words, finished, _ = comparison
    folder = tmp_path / "out"
    shutil.copytree(finished, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert cli.main([*words[:-1], str(folder), "--learning_rate", "0.5"]) == 2
    message = capsys.readouterr().err
    assert "holds the run custom, untrained, seed 0 under other settings" in message
    assert "learning_rate: " in message
    assert "0.5 now" in message
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_more_seeds_may_join_a_comparison(comparison, tmp_path):
    words, finished, _ = comparison
    folder = tmp_path / "out"
    shutil.copytree(finished, folder)
    at = words.index("--seeds") + 1
    assert cli.main([*words[:at], "3", *words[at + 1 : -1], str(folder)]) == 0
    results = json.loads((folder / "results.json").read_text())
    assert results["scenarios"]["custom"]["arms"]["gaa-text"]["kl_untrained"]["n"] == 3
    earlier = json.loads((finished / "results.json").read_text())["runs"]
    assert results["runs"][: len(earlier)] == earlier


def test_coefficients_draws_both_surfaces(tmp_path):
    assert cli.main(["coefficients", "--out", str(tmp_path / "figures")]) == 0
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["coefficients.html"]


def test_models_are_listed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main(["models", "list"]) == 0
    out = capsys.readouterr().out
    assert "smollm2-135m" in out
    assert "HuggingFaceTB/SmolLM2-135M-Instruct" in out
