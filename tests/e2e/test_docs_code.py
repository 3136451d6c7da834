"""The code of README and docs does what the pages say: Python runs, commands parse, files are read, the site builds.

A page's blocks run in their order, in one folder. What cannot run here is marked: ``<!-- not run: why -->``.
"""

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from transformers import AutoTokenizer, GPT2Config, GPT2ForSequenceClassification

import forked
import gaard.cli
from gaard.lab.compare import Study
from gaard.lab.spec import RunSpec, read_config
from gaard.lab.study import read_study
from pages import PAGES, ROOT, Block, blocks, read

# The only things that are not run as they stand: the model that ships, a classifier made here, and short runs.
CLASSIFIER = "classifier"
SHORT = "max_steps=2, batch_size=8, eval_completions=8, use_cpu=True, "
REPLACED = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": "pocket",
    "HuggingFaceTB/SmolLM2-135M": "pocket",
    "path/to/classifier": CLASSIFIER,
    "path/to/model": str(ROOT / "src/gaard/assets/pocket"),
    "GAAConfig(output_dir": f"GAAConfig({SHORT}output_dir",
    "GAAConfig(\n    output_dir": f"GAAConfig(\n    {SHORT}output_dir",
}
RUNNABLE = [page for page in PAGES if blocks(page)]
LANGUAGES = {"python", "bash", "yaml", "text"}
# Commands that only read what is there, or take no time: they are run.
QUICK = {"arms", "scenarios", "coefficients"}
TARGETS = set(re.findall(r"^([\w-]+):", read("Makefile"), re.MULTILINE))


class Parsed(Exception):
    """A command was understood, and would begin now."""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Where the blocks of one page run: beside the project's examples and studies, with a small classifier."""
    monkeypatch.chdir(tmp_path)
    for name in ("examples", "studies"):
        (tmp_path / name).symlink_to(ROOT / name)
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "src/gaard/assets/pocket")
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), tokenizer.eos_token_id)
    sizes = {"n_layer": 1, "n_head": 2, "n_embd": 16, "n_positions": 64, "vocab_size": len(tokenizer), "num_labels": 2}
    GPT2ForSequenceClassification(GPT2Config(**sizes, **ends)).save_pretrained(CLASSIFIER)
    tokenizer.save_pretrained(CLASSIFIER)
    return tmp_path


@pytest.fixture
def parsing_only(monkeypatch) -> list[object]:
    """Commands go as far as a checked run or study, and no further."""
    understood: list[object] = []

    def run(spec: RunSpec) -> None:
        understood.append(spec)
        raise Parsed

    def study(study: Study, folder: Path, **how: object) -> None:
        study.specs(Path(folder))
        understood.append(study)
        raise Parsed

    def page(folder: Path, **more: object) -> None:
        understood.append(folder)
        raise Parsed

    monkeypatch.setattr("gaard.lab.spec.build_trainer", run)
    monkeypatch.setattr("gaard.lab.compare.compare", study)
    monkeypatch.setattr("gaard.report.page.write_page", page)
    monkeypatch.setattr("gaard.report.page.watch_page", page)
    monkeypatch.setattr("gaard.finder.read_texts", page)
    for command in ("find", "report"):  # of runs that the page's commands would have made
        monkeypatch.setattr(f"gaard.commands.{command}.existing_folder", Path)
    return understood


def here(code: str) -> str:
    """A block with what cannot be had here replaced."""
    for there, instead in REPLACED.items():
        code = code.replace(there, instead)
    return code


def commands(block: Block) -> list[list[str]]:
    """The words of every command of a block."""
    lines = block.code.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@pytest.mark.parametrize("page", RUNNABLE)
def test_every_block_has_a_language_that_is_looked_at(page):
    assert [str(block) for block in blocks(page) if block.language not in LANGUAGES] == []
    assert read(page).count("```") == 2 * len(blocks(page))


@pytest.mark.parametrize("page", RUNNABLE)
def test_the_blocks_of_a_page(page, folder, parsing_only):
    """Files are written, Python is run, YAML is read, and commands are parsed, in the order of the page."""
    python: list[str] = []
    for block in blocks(page):
        if block.not_run:
            continue
        if block.file:
            (folder / block.file).write_text(here(block.code), encoding="utf-8")
        if block.language == "python":
            python.append(f"# {block}\n{here(block.code)}")
        elif block.language == "yaml":
            check_yaml(block, folder)
        elif block.language == "bash":
            for words in commands(block):
                check_command(words, block)
    if python:
        run_python("\n".join(python), folder)


def run_python(code: str, folder: Path) -> None:
    """Run it as a reader would: a file, in a process of its own."""
    (folder / "page_.py").write_text(code, encoding="utf-8")
    forked.finish(forked.start(folder / "page_.py", [], folder / "page_.txt", folder), folder / "page_.txt")


def check_yaml(block: Block, folder: Path) -> None:
    """A study where it names arms, else the settings of a run."""
    path = folder / (block.file or "block.yaml")
    path.write_text(block.code, encoding="utf-8")
    if "arms" in yaml.safe_load(block.code):
        read_study(str(path)).specs(folder / "out")
    else:
        read_config(path)


def check_command(words: list[str], block: Block) -> None:
    """A target of the Makefile, or a command of gaard that its own parser takes."""
    if words[0] == "make":
        assert words[1] in TARGETS, f"{block}: {words}"
        return
    assert words[0] == "gaard", f"{block}: {words} is neither make nor gaard"
    if words[1] in QUICK:
        assert gaard.cli.main(words[1:]) == 0, f"{block}: {words}"
        return
    try:
        status = gaard.cli.main(words[1:])
    except Parsed:
        return
    raise AssertionError(f"{block}: {words} ended with {status} before it would have begun")


@pytest.mark.parametrize("example", sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("examples/*.yaml")))
def test_the_examples_can_be_trained_and_compared(example, folder, parsing_only):
    for words in (["train", "--output_dir", "runs/x", "--method", "fold"], ["compare", "--arms", "ppo,fold"]):
        check_command(["gaard", *words, "--config", example], Block(example, 1, "bash", "", ""))


def test_a_command_that_is_wrong_is_noticed(folder, parsing_only):
    with pytest.raises(AssertionError):
        check_command(["gaard", "train", "--scenario", "capped", "--methd", "ppo"], Block("x", 1, "bash", "", ""))


def test_what_is_saved_can_be_loaded_as_the_readme_says(folder):
    """The README's Python, and then the line that its comment promises."""
    code = here("\n".join(block.code for block in blocks("README.md") if block.language == "python"))
    load = 'from transformers import AutoModelForCausalLM\nAutoModelForCausalLM.from_pretrained("out")\n'
    run_python(f"{code}\n{load}", folder)
    assert (folder / "runs/mine/metrics.jsonl").is_file()


@pytest.mark.slow
def test_the_ordinary_reward_of_the_readme_is_refused_by_fold_and_learned_by_ppo(folder):
    """`python examples/rare_word.py`."""
    output = folder / "printed.txt"
    forked.finish(forked.start(ROOT / "examples" / "rare_word.py", [], output, folder), output)
    printed = output.read_text()
    after = {method: float(count) for method, count in re.findall(r"^(\w+): .* before, ([\d.]+) after", printed, re.M)}
    assert after["ppo"] > 6.0
    assert after["fold"] < 0.1


@pytest.mark.slow
def test_a_script_of_trls_runs_and_its_detector_sees_the_hack(folder):
    """`python examples/from_trl.py`."""
    command = [sys.executable, "-W", "error::gaard.errors.GaardWarning", str(ROOT / "examples" / "from_trl.py")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout
    last = ast.literal_eval(printed.splitlines()[-1])
    assert last["rewards/friendly/mean"] > 2.0
    assert last["hack_rate"] > 0.9


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    """`make docs`, into another folder."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    assert (tmp_path / "site" / "reference" / "index.html").is_file()
