"""What gaard warns of is one clean line everywhere, and stands in the run's record once, whatever said it."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from gaard.errors import GaardWarning
from gaard.messages import warn
from gaard.report.run_files import read_run_files
from gaard.report.run_page import run_verdict
from tiny import tiny_trainer


def constant(*, completions, **_):
    return [0.5] * len(completions)


def rare(*, completions, **_):
    """Most completions are paid nothing."""
    return [float("w1" in text.split()) for text in completions]


def kept(folder):
    """Step and sentence of each warning in a run's folder."""
    path = folder / "warnings.jsonl"
    rows = map(json.loads, path.read_text().splitlines()) if path.exists() else ()
    return [(row["step"], row["warning"]) for row in rows]


def shown(program: str) -> list[str]:
    """What a plain script prints of its warnings."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stderr.splitlines()


def test_a_plain_script_gets_one_clean_line_and_other_warnings_look_as_ever():
    program = "import warnings\nfrom gaard.messages import warn\nwarn('look out')\nwarnings.warn('other', stacklevel=1)"
    lines = shown(program)
    assert lines[0] == "gaard: warning: look out"
    assert lines[1] == "<string>:4: UserWarning: other"


def test_a_warning_can_be_caught_silenced_and_made_an_error_as_any_other():
    usual = warnings.formatwarning
    with pytest.warns(GaardWarning, match="look out"):
        warn("look out")
    with warnings.catch_warnings():
        warnings.simplefilter("error", GaardWarning)
        with pytest.raises(GaardWarning, match="look out"):
            warn("look out")
    assert warnings.formatwarning is usual
    assert shown("import warnings\nfrom gaard.messages import warn\nwarnings.simplefilter('ignore')\nwarn('x')") == []


@pytest.mark.slow
def test_a_run_says_its_warnings_in_one_line(tmp_path):
    """From Python, as from the command line."""
    program = (
        f"import sys\nsys.path.append({str(Path(__file__).parents[1])!r})\nfrom tiny import tiny_trainer\n"
        "def constant(completions, **_):\n    return [0.5] * len(completions)\n"
        f"tiny_trainer({str(tmp_path)!r}, reward=constant, max_steps=1).train()"
    )
    (line,) = (line for line in shown(program) if "warning" in line.lower())
    assert line.startswith("gaard: warning: step 1: ")


@pytest.mark.parametrize("steps", [1, 2])
def test_a_reward_that_never_differs_is_told_of_in_a_short_run_too(tmp_path, steps):
    with pytest.warns(GaardWarning, match=rf"step {steps}: .*all rewards are the same.*0\.5"):
        tiny_trainer(tmp_path, reward=constant, method="ppo", max_steps=steps).train()
    assert [step for step, _ in kept(tmp_path)] == [steps]


def test_half_precision_is_in_the_record_of_every_run_of_it(tmp_path):
    """Said when the model is loaded, kept when the run has its folder, and once however often it goes on."""
    options = {"max_steps": 3, "save_steps": 1}
    with pytest.warns(GaardWarning, match="training it in float32"):
        first = tiny_trainer(tmp_path, dtype=torch.bfloat16, **options)
    assert not tmp_path.joinpath("warnings.jsonl").exists()
    first.training_step()
    first.training_step()
    first.run.close()
    with pytest.warns(GaardWarning, match="training it in float32"):
        tiny_trainer(tmp_path, dtype=torch.bfloat16, **options).train()
    ((step, sentence),) = kept(tmp_path)
    assert step == 1
    assert sentence.startswith("the model is in torch.bfloat16")
    assert run_verdict(read_run_files(tmp_path))[0] == f"Warning at step 1: {sentence}."


def test_a_damaged_checkpoint_is_in_the_record(tmp_path):
    options = {"max_steps": 4, "save_steps": 1, "save_total_limit": 4}
    first = tiny_trainer(tmp_path, **options)
    for _ in range(3):
        first.training_step()
    first.run.close()
    (tmp_path / "checkpoints" / "step-000003" / "policy.safetensors").write_bytes(b"")
    with pytest.warns(GaardWarning, match="is damaged"):
        tiny_trainer(tmp_path, **options).train()
    ((step, sentence),) = kept(tmp_path)
    assert step == 3  # the one that is trained again
    assert "step-000003 is damaged" in sentence


def test_steps_that_were_lost_are_in_the_record(tmp_path):
    tiny_trainer(tmp_path, max_steps=4, save_steps=2).train()
    (tmp_path / "metrics.jsonl").write_text("")
    for _ in range(2):
        with pytest.warns(GaardWarning, match="lacks 4 of the 4 steps"):
            tiny_trainer(tmp_path, max_steps=4, save_steps=2).train()
    ((step, sentence),) = kept(tmp_path)
    assert step == 4  # there is no fifth
    assert "lacks 4 of the 4 steps" in sentence


def test_a_step_that_is_tried_again_warns_once(tmp_path):
    trainer = tiny_trainer(tmp_path, reward=rare, method="fold", max_steps=3)
    update, trainer._updates = trainer._updates, None
    with pytest.warns(GaardWarning, match="most rewards are one number"), pytest.raises(TypeError):
        trainer.training_step()
    trainer._updates = update
    trainer.training_step()
    assert [step for step, _ in kept(tmp_path)] == [1]
