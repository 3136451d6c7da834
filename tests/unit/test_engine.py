"""Several runs at once: the same results as one after another, and nothing lost when one goes wrong."""

import json
import multiprocessing
import multiprocessing.forkserver
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from gaard import messages
from gaard.errors import ConfigError, GaardError
from gaard.lab.compare import compare
from gaard.lab.engine import IMPORTED, execute
from gaard.lab.study import study_of_settings

SHORT = {
    "scenario": "capped",
    "max_steps": 3,
    "batch_size": 8,
    "num_mini_batches": 2,
    "eval_completions": 16,
    "progress": False,
    "use_cpu": True,
}
FLAWED = """
from pathlib import Path
MARK = Path(__file__).with_name("failed")
calls = 0
def flawed(completions, **_):
    global calls
    calls += 1
    if calls == 2 and not MARK.exists():
        MARK.touch()
        raise ValueError("[/INST] mould")
    return [1.0 * len(text) for text in completions]
"""


@pytest.fixture
def threads():
    """Sets how many threads this process has, and puts it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def double(x: int) -> int:
    return 2 * x


def mark_and_wait(path) -> None:
    path.touch()
    time.sleep(2)


def sleep_long(path) -> None:
    (path / str(os.getpid())).touch()
    time.sleep(300)


def die() -> None:
    os._exit(1)


def without_seconds(results):
    kept = json.loads(json.dumps(results))
    for scenario in kept["scenarios"].values():
        for arm in scenario["arms"].values():
            arm.pop("seconds_per_step", None)
    for run in kept["runs"]:
        run["measures"].pop("seconds_per_step", None)
    return kept


def test_every_task_is_called_once():
    tasks = [partial(double, i) for i in range(7)]
    assert sorted(execute(tasks, 2)) == [(i, 2 * i) for i in range(7)]


def test_a_process_that_dies_is_told_of():
    with pytest.raises(GaardError, match=r"one of 2 processes died.*try --jobs 1"):
        list(execute([die, die], 2))


def test_what_a_task_raises_is_raised():
    with pytest.raises(TypeError):
        list(execute([partial(double, None)], 2))


@pytest.mark.slow
def test_two_at_once_give_what_one_at_a_time_gives(tmp_path, threads):
    threads(1)  # sums of other threads may round otherwise
    told = []
    one = compare(study_of_settings(SHORT, ["ppo", "gaa-text"], [0, 1]), tmp_path / "one")
    two = compare(study_of_settings(SHORT, ["ppo", "gaa-text"], [0, 1]), tmp_path / "two", jobs=2, announce=told.append)
    assert without_seconds(one) == without_seconds(two)
    for run in one["runs"]:
        for name in ("metrics.jsonl", "samples.jsonl"):
            first, second = (tmp_path / folder / run["folder"] / name for folder in ("one", "two"))
            assert first.exists() == second.exists()
            assert run["arm"] == "untrained" or first.read_bytes() == second.read_bytes()
    assert json.loads((tmp_path / "two" / "results.json").read_text()) == two
    assert told[:2] == [f"6 runs in {tmp_path / 'two'}, 2 at once", "run 1/6: capped, untrained, seed 0"]
    assert told[2:4] == ["run 2/6: capped, ppo, seed 0", "run 3/6: capped, gaa-text, seed 0"]  # before any has ended
    begun = [text for text in told if text.startswith("run ") and not text.endswith("done")]
    assert [text.split(":")[0] for text in begun] == [f"run {number}/6" for number in range(1, 7)]
    assert sum(text.endswith("done") for text in told) == 5


def test_a_run_that_fails_is_named_and_the_others_go_on(tmp_path):
    (tmp_path / "rewards.py").write_text(FLAWED)
    settings = {k: v for k, v in SHORT.items() if k != "scenario"} | {
        "prompts": ["The movie is"],
        "reward_funcs": [f"{tmp_path}/rewards.py:flawed"],
        "eval_completions": 8,
    }
    told = []
    results = compare(study_of_settings(settings, ["ppo"], [0, 1]), tmp_path / "out", jobs=2, announce=told.append)
    failed = [run for run in results["runs"] if run["error"]]
    assert len(failed) == 1
    assert "mould" in failed[0]["error"]
    assert any("mould" in text for text in told)
    assert [bool(run["measures"]) for run in results["runs"]].count(True) == 3
    assert results["scenarios"]["custom"]["arms"]["ppo"]["proxy_reward"]["n"] == 1


def test_an_interrupt_leaves_nothing_running(tmp_path):
    """Two of eight tasks have begun when the consumer goes away; no other ever does."""
    tasks = [partial(mark_and_wait, tmp_path / str(i)) for i in range(8)]
    results = execute([partial(double, 1), *tasks], 2)
    next(results)
    started = time.monotonic()
    results.close()
    assert time.monotonic() - started < 5
    time.sleep(2.5)
    assert len(list(tmp_path.iterdir())) <= 3
    assert not [p for p in multiprocessing.active_children() if p.is_alive()]


def test_processes_share_the_threads(threads):
    threads(4)
    assert [count for _, count in execute([partial(torch.get_num_threads)] * 2, 2)] == [2, 2]
    threads(1)
    assert [count for _, count in execute([partial(torch.get_num_threads)], 2)] == [1]


def test_no_more_tasks_begin_than_go_on_at_once():
    begun, ended = [], []
    for index, _ in execute([partial(double, i) for i in range(5)], 2, begun=begun.append):
        assert len(begun) - len(ended) <= 2
        ended.append(index)
    assert begun == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("jobs", [0, -1, 1.5, True])
def test_a_number_of_jobs_that_makes_no_sense(jobs, tmp_path):
    with pytest.raises(ConfigError, match=f"jobs={jobs!r} must be a whole number"):
        compare(study_of_settings(SHORT, ["ppo"], [0]), tmp_path, jobs=jobs)


def running(pid: int) -> bool:
    """Whether there is such a process, a finished one that nobody asked for left out."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc")
def test_the_processes_end_with_the_one_that_began_them_even_if_that_is_killed(tmp_path):
    """Else two processes would write to one run's folder once the command is given again."""
    script = tmp_path / "study.py"
    script.write_text(
        "import sys\nfrom functools import partial\nfrom pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_engine import sleep_long\nfrom gaard.lab.engine import execute\n"
        "if __name__ == '__main__':\n"
        f"    list(execute([partial(sleep_long, Path({str(tmp_path / 'pids')!r}))] * 4, 2))\n"
    )
    (tmp_path / "pids").mkdir()
    parent = subprocess.Popen([sys.executable, str(script)])
    try:
        assert within(120, lambda: len(list((tmp_path / "pids").iterdir())) == 2)
        workers = [int(path.name) for path in (tmp_path / "pids").iterdir()]
        assert all(running(pid) for pid in workers)
    finally:
        parent.kill()
        parent.wait()
    assert within(20, lambda: not any(running(pid) for pid in workers))


def within(seconds: float, condition) -> bool:
    """Whether something becomes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not condition():
        time.sleep(0.1)
    return condition()


def warn(number):
    """A task that warns as a run does."""
    messages.warn(f"run {number}")
    return number


@pytest.mark.slow
def test_a_run_in_a_process_of_its_own_warns_in_one_line(capfd):
    multiprocessing.forkserver._forkserver._stop()  # its successor writes to where this test reads
    list(execute([partial(warn, number) for number in (1, 2)], 2))
    lines = [line for line in capfd.readouterr().err.splitlines() if "run" in line]
    multiprocessing.forkserver._forkserver._stop()  # nor does it read on
    assert sorted(lines) == ["gaard: warning: run 1", "gaard: warning: run 2"]


def test_processes_have_the_environment_of_who_asks(monkeypatch):
    for value in ("first", "second"):
        monkeypatch.setenv("GAARD_TEST", value)
        assert [found for _, found in execute([partial(os.getenv, "GAARD_TEST")], 1)] == [value]


def product(size: int) -> float:
    return float((torch.ones(size, size) @ torch.ones(size, size)).sum())


def test_a_forked_process_computes_on_several_threads_as_a_new_one_does(threads):
    threads(2)
    assert product(512) == 512**3  # the pool of this process has begun
    assert [found for _, found in execute([partial(product, 512)] * 2, 1)] == [512**3] * 2


@pytest.mark.slow
def test_what_lies_in_the_working_folder_is_not_imported_in_a_packages_place(tmp_path, monkeypatch):
    (tmp_path / "transformers.py").write_text("raise SystemExit('the wrong transformers')\n")
    monkeypatch.chdir(tmp_path)
    multiprocessing.forkserver._forkserver._stop()
    assert list(execute([partial(double, 2)], 1)) == [(0, 4)]
    assert "PYTHONSAFEPATH" not in os.environ


@pytest.mark.slow
def test_what_is_imported_beforehand_asks_for_no_gpu():
    """Else a forked process could use none."""
    code = (
        "import torch\n"
        "def refuse(*_, **__): raise AssertionError('asked for a GPU')\n"
        "for name in ('is_available', 'device_count', 'init', '_lazy_init'): setattr(torch.cuda, name, refuse)\n"
        f"for name in {IMPORTED}: __import__(name)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
