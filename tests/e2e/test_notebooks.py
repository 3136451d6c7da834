"""The notebooks run from top to bottom, and show what their text says. They are committed without outputs."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from pages import ROOT

pytestmark = pytest.mark.slow

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WIDTH = 120


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def printed(name: str, folder: Path, monkeypatch) -> tuple[str, list[str]]:
    """What a notebook prints, and the kinds of its other outputs, from a kernel that knows this source tree."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = read(ROOT / "notebooks" / f"{name}.ipynb")
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    text = "".join(output["text"] for output in outputs if output.get("name") == "stdout")
    return text, [kind for output in outputs for kind in output.get("data", {})]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_valid_without_outputs_and_readable(path):
    notebook = read(path)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert all(len(line) <= WIDTH for cell in notebook.cells for line in cell.source.splitlines())
    assert path.stat().st_size < 20_000
    names = re.findall(r"`(docs/\w[\w-]*\.md)`", "".join(cell.source for cell in notebook.cells))
    assert all((ROOT / name).is_file() for name in names)


def test_a_hackable_reward_is_checked_trained_found_and_reported(tmp_path, monkeypatch):
    text, kinds = printed("is_my_reward_hackable", tmp_path, monkeypatch)
    assert re.search(r"^note: words: texts with 'story'", text, re.MULTILINE)
    before, after = map(float, re.search(r"reward: (\S+) at first, (\S+) at last", text).groups())
    assert after > before + 2
    assert re.search(r"^word 'story': .*\n(?:.*\n)*?ppo: ALARM\n", text, re.MULTILINE)
    assert "gaa: no alarm" in text
    ppo, gaa = map(float, re.search(r"\{'ppo': (\S+), 'gaa': (\S+)\}", text).groups())
    assert ppo > 0.5
    assert gaa < 0.1
    assert (tmp_path / "runs" / "ppo" / "report.html").is_file()
    assert any("plotly" in kind for kind in kinds)


def test_the_fold_stands_beside_grpo_and_the_monitor_warns(tmp_path, monkeypatch):
    text, kinds = printed("fold_beside_grpo", tmp_path, monkeypatch)
    plain, folded = map(int, re.search(r"(\d+)% without the fold, (\d+)% with it", text).groups())
    assert plain > 90
    assert folded < 5
    share = int(re.search(r"^step \d+, (\d+)% of the texts have the word: .*'story'", text, re.MULTILINE)[1])
    assert share < 34
    success, turned = map(float, re.search(r"success: (\S+), with the fold (\S+)", text).groups())
    assert success > 0 > turned
    assert any("plotly" in kind for kind in kinds)


def test_there_are_two():
    assert [path.stem for path in NOTEBOOKS] == ["fold_beside_grpo", "is_my_reward_hackable"]
