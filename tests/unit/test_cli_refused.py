"""The command line has one clear line for what it cannot do."""

import pytest

import gaard.commands.train
from commands import refused
from gaard import cli

RUN = ["--output_dir", "x", "--prompts", '["w1"]']
GAA = ["--method", "gaa"]
CAPPED = ["--scenario", "capped"]
REFUSED = [
    (["trian"], "command 'trian' is not known: did you mean 'train'?"),
    (["--verison"], "command '--verison' is not known"),
    (["train"], "output_dir is missing: say where the run goes, such as --output_dir runs/mine"),
    (
        ["train", *RUN, "--threshold", "2"],
        "'threshold' is no field of a run: give it as --method fold or drop or clip --method.",
    ),
    (["train", *RUN, "stray"], "unrecognized arguments: stray"),
    (["train", *RUN, "--sede", "1"], "unknown key 'sede': did you mean 'seed'?"),
    (["train", *RUN, "--max-steps", "1"], "unknown key 'max-steps': did you mean 'max_steps'?"),
    (
        ["train", *RUN, "--method", "gaaa"],
        "method='gaaa' is not known: did you mean 'gaa'? Choose from clip, drop, fold, gaa, ppo",
    ),
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
    (["train", *RUN, "--regularizers", "smm"], "regularizers='smm' is not known: did you mean 'sam'?"),
    (
        ["train", *RUN, "--regularizers.radius", "2"],
        "--regularizers.radius: regularizers has no options of its own there",
    ),
    (
        ["train", *RUN, "--regularizers", "[{name: sam, coef: 2}]"],
        "'sam' has no option 'coef': it is an option of grad",
    ),
    (["train", *RUN, "--seed", "1:30"], "seed='1:30' must be a whole number"),
    (["train", *RUN, "--seed", "1" * 5000], "...111111111111': a number of 5000 digits is too long"),
    (["train", *RUN, "--overwrite=false"], "--overwrite=false: --overwrite takes no value: leave it out, and"),
    (["train", *RUN, *GAA, "--method.", "3"], "--method.: name an option behind the dot: threshold, reading"),
    (["train", *RUN, "--method", "{name: fold, name: gaa}"], "the key 'name' is given twice: leave one out"),
    (["compare", "--method.threshold", "2"], "--method.threshold is given to every run, and each arm states its whole"),
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
    (
        ["compare", "--arms", "ppo,gaa"],
        "'gaa' is a method, not an arm: choose from gaa-text, gaa-code, gaa-expected",
    ),
    (
        ["compare", *CAPPED, "--baseline", "pp0"],
        "baseline='pp0' is none of the arms: did you mean 'ppo'? Choose from gaa",
    ),
    (["compare", "--seed", "1:30"], "seed='1:30' must be a whole number"),
    (["compare", "--arms", "ppo,ppo"], "arms names 'ppo' twice"),
    (["compare", "--arms", ""], "arms=[] is no list of arms"),
    (["compare", *CAPPED, "--eval_completions", "0"], "eval_completions=0"),
    (["models"], "required: action"),
    (["models", "lost"], "invalid choice: 'lost'"),
    (["models", "fetch"], "name a model, such as smollm2-135m"),
    (["coefficients", "--size", "3"], "unrecognized arguments: --size"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED, ids=[" ".join(words)[:80] for words, _ in REFUSED])
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
    (b"seed: 1:30\n", "seed='1:30' must be a whole number"),
    (b"lam: 0\n", "run.yaml: 'lam' is no field of a run: give it as advantages: {name: gae, lam: \u2026}"),
    (b"method: {name: gaa, threshold: 2}\n", "method 'gaa' has no option 'threshold': it is an option of fold"),
    (b"seed: 1\nmax_steps: 2\nseed: 3\n", "run.yaml: the key 'seed' is given twice: leave one out"),
    (b"method: {name: fold, threshold: 2, threshold: 3}\n", "the key 'threshold' is given twice: leave one out"),
    (b"seed: " + b"1" * 5000 + b"\n", "run.yaml: a number of 5000 digits is too long"),
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
    "--threshold": "--method fold or drop or clip --method.threshold …",
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

    monkeypatch.setattr(gaard.commands.train, "main", interrupted)
    assert cli.main(["train"]) == 130
    assert "goes on from the last checkpoint" in capsys.readouterr().err


def test_a_defect_keeps_its_traceback(monkeypatch):
    def defect(words):
        raise OSError("no file is to blame")

    monkeypatch.setattr(gaard.commands.train, "main", defect)
    with pytest.raises(OSError, match="no file"):
        cli.main(["train"])
