"""The Ray engine on a real cluster of two machines with one core each: the same results, whoever dies."""

import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
import torch
from ray.cluster_utils import Cluster
from test_killed_study import STUDY, untimed

from gaard import cli
from gaard.errors import ConfigError, GaardError, RewardError
from gaard.lab.compare import ENGINES, _Task, compare
from gaard.lab.ray_engine import connected, execute_on_ray, share
from gaard.lab.study import read_study, study_of_settings

pytestmark = pytest.mark.timeout(300)
SHORT = {"max_steps": 3, "save_steps": 1, "batch_size": 8, "num_mini_batches": 2, "eval_completions": 16}
PROMPTED = {**SHORT, "prompts": ["The film is"]}
KILLING = """
import os, signal
from pathlib import Path
from gaard.lab.scenarios import Scenario

def length(completions, **columns):
    if any(Path("two").glob("*/gaa-text-seed0/checkpoints/step-000002")) and not Path("killed").exists():
        Path("killed").write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)
    return [len(text) / 100 for text in completions]

deadly = Scenario("deadly", "kills once", ("The film is",), length, max_completion_length=6)
"""


@pytest.fixture(scope="module")
def surroundings():
    """Ray apart from any that runs here; nothing of it is left in the end."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder:
        patch.setenv("RAY_TMPDIR", folder)  # a test's own folder is too long for a socket's name
        patch.setenv("RAY_AUTH_MODE", "disabled")  # else Ray writes a token into the home
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
        assert within(30, lambda: not begun_under(folder)), begun_under(folder)


@pytest.fixture(scope="module")
def machines(surroundings):
    cluster = Cluster(True, head_node_args={"include_dashboard": False, "dashboard_agent_listen_port": None})
    cluster.add_node()
    yield cluster.address
    cluster.shutdown()


@pytest.fixture
def threads():
    """Sets how many threads this process has, and puts it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def cluster(machines, tmp_path, monkeypatch, threads):
    """A cluster that this process may join, from a folder that is not the machines' own."""
    monkeypatch.setenv("RAY_ADDRESS", machines)
    monkeypatch.chdir(tmp_path)
    threads(1)  # sums of other threads may round otherwise
    yield
    assert not ray.is_initialized()


def begun_under(folder: str) -> list[str]:
    """What runs in that environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("RAY_TMPDIR") == folder and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline())[:200])
        except psutil.Error:
            continue
    return found


def within(seconds: float, condition) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not condition():
        time.sleep(0.1)
    return condition()


def meet(name: str) -> tuple[str, int, str]:
    """Waits for the other; tells machine, threads and folder."""
    Path(name).touch()
    assert within(60, lambda: Path("a").exists() and Path("b").exists())
    return ray.get_runtime_context().get_node_id(), torch.get_num_threads(), os.getcwd()


def enter_alone() -> None:
    with open("inside", "x"):
        time.sleep(0.3)
    os.unlink("inside")


def sleep_long() -> None:
    Path(f"{os.getpid()}.pid").touch()
    time.sleep(300)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Noted:
    """A task that is written down whenever it begins."""

    task: Any
    name: str

    def __str__(self):
        return self.name

    def __call__(self):
        with open("begun", "a") as log:
            log.write(f"{self.name}:{os.getpid()}\n")
        return self.task()


def begun() -> list[tuple[str, str]]:
    return [tuple(line.split(":")) for line in Path("begun").read_text().splitlines()]


@pytest.mark.slow
def test_a_study_on_two_machines_ends_as_in_one_process(cluster, tmp_path):
    Path("study.yaml").write_text(STUDY)
    compare(read_study("study.yaml"), Path("one"))
    assert cli.main(["compare", "study.yaml", "--out", "two", "--jobs", "2", "--engine", "ray"]) == 0
    assert untimed(Path("one")) == untimed(Path("two"))
    runs = [run for run in json.loads(Path("two/results.json").read_text())["runs"] if run["arm"] != "untrained"]
    assert len(runs) == 4
    for run in runs:
        for name in ("metrics.jsonl", "samples.jsonl"):
            assert Path("one", run["folder"], name).read_bytes() == Path("two", run["folder"], name).read_bytes()


@pytest.mark.slow
def test_only_the_run_whose_process_is_killed_is_begun_again(cluster, monkeypatch):
    Path("mine.py").write_text(KILLING)
    Path("study.yaml").write_text(
        f"scenarios: [mine.py]\narms: [ppo, gaa-text]\nseeds: 1\nsettings: {json.dumps({**SHORT, 'use_cpu': True})}\n"
    )
    compare(read_study("study.yaml"), Path("one"))
    assert not Path("killed").exists()

    def noting(tasks, jobs, *tick):
        return execute_on_ray([Noted(task, str(task)) for task in tasks], jobs, *tick)

    monkeypatch.setitem(ENGINES, "ray", ENGINES["ray"]._replace(execute=noting))
    compare(read_study("study.yaml"), Path("two"), jobs=2, engine="ray")
    pid = Path("killed").read_text()
    killed = [name for name, process in begun() if process == pid][-1]
    times = Counter(name for name, _ in begun())
    assert len(times) == 3
    assert times.pop(killed) == 2
    assert set(times.values()) == {1}
    assert untimed(Path("one")) == untimed(Path("two"))


@pytest.mark.slow
def test_tasks_of_one_connection(cluster, tmp_path):
    """They share its processes, which take seconds to begin."""
    with connected(2):
        (_, one), (_, two) = sorted(execute_on_ray([partial(meet, "a"), partial(meet, "b")], 2))
        assert one[0] != two[0]  # each on a machine
        assert one[1:] == two[1:] == (1, str(tmp_path))
        alone = [enter_alone] * 4  # no more at once than were asked for
        assert sorted(execute_on_ray(alone, 1)) == [(i, None) for i in range(4)]
        with pytest.raises(TypeError) as caught:
            list(execute_on_ray([Noted(partial(abs, None), "wrong")], 2))
        assert caught.type is TypeError
        assert len(begun()) == 1  # not tried again
        assert ray.is_initialized()  # left as it was found


@pytest.mark.slow
def test_a_process_that_always_dies_is_told_of(cluster, monkeypatch):
    monkeypatch.setattr("gaard.lab.ray_engine.RETRIES", 1)
    with pytest.raises(GaardError, match=r"^doomed: the process that ran it was lost.*try --jobs 1"):
        list(execute_on_ray([Noted(die, "doomed")], 2))
    assert len(begun()) == 2


@pytest.mark.slow
def test_an_interrupt_leaves_nothing_running(cluster):
    with connected(2):  # which would end the processes too
        results = execute_on_ray([partial(abs, -1), *[sleep_long] * 4], 2)
        assert next(results) == (0, 1)
        assert within(60, lambda: list(Path().glob("*.pid")))
        results.close()
        time.sleep(1)
        begun = [int(path.stem) for path in Path().glob("*.pid")]
        assert len(begun) <= 2
        assert not any(psutil.pid_exists(pid) for pid in begun)


@pytest.mark.slow
def test_what_stops_the_first_run_stops_the_study(cluster):
    Path("rewards.py").write_text("def broken(completions, **_):\n    return [1.0]\n")
    settings = {**SHORT, "use_cpu": True, "prompts": ["The film is"], "reward_funcs": ["rewards.py:broken"]}
    with pytest.raises(RewardError, match="returned 1 value"):
        compare(study_of_settings(settings, ["ppo"], [0]), Path("out"), engine="ray")
    assert json.loads(Path("out/results.json").read_text())["runs"] == []


@pytest.mark.slow
def test_a_machine_that_does_not_see_the_folder_is_told_of(cluster, tmp_path, monkeypatch):
    key, spec = next(iter(study_of_settings(PROMPTED, ["ppo"], [0]).specs(tmp_path / "nowhere").items()))
    with pytest.raises(GaardError, match=r"nowhere is not there on .*at the same path"):
        _Task(key, spec, tmp_path / "nowhere")()
    monkeypatch.setattr("gaard.lab.ray_engine.Path.cwd", lambda: tmp_path / "nowhere")
    with pytest.raises(GaardError, match=r"No such file or directory.*nowhere.*at the same path"):
        list(execute_on_ray([partial(abs, -1)], 1))


@pytest.mark.slow
def test_without_a_cluster_this_machine_is_one_whose_threads_are_shared(surroundings, monkeypatch, threads):
    monkeypatch.setenv("RAY_ADDRESS", "local")
    threads(4)
    assert [count for _, count in execute_on_ray([torch.get_num_threads] * 2, 2)] == [2, 2]
    assert not ray.is_initialized()


def test_an_address_that_nobody_answers_at(monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(GaardError, match=f"RAY_ADDRESS='{address}': no Ray cluster .*refused"):
            list(execute_on_ray([partial(abs, -1)], 1))


def test_ray_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"engine='ray' needs Ray.*pip install 'gaard\[ray\]'"):
        compare(study_of_settings(PROMPTED, ["ppo"], [0]), tmp_path / "out", engine="ray")
    assert not (tmp_path / "out").exists()


def test_an_engine_that_is_not_known(tmp_path, capsys):
    (tmp_path / "study.yaml").write_text(STUDY)
    for words in ([str(tmp_path / "study.yaml")], ["--scenario", "capped", "--arms", "ppo"]):
        assert cli.main(["compare", *words, "--out", str(tmp_path / "out"), "--engine", "rai"]) == 2
        expected = "gaard: engine='rai' is not known: did you mean 'ray'? Choose from processes, ray\n"
        assert capsys.readouterr().err == expected
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("machines", "jobs", "expected"),
    [
        ([{"CPU": 8}], 2, (4, 0)),
        ([{"CPU": 1}, {"CPU": 1}], 1, (1, 0)),  # no more than a machine has
        ([{"CPU": 2}], 5, (1, 0)),
        ([{"CPU": 8}, {"CPU": 2}], 2, (4, 0)),  # 5 would find room once
        ([{"CPU": 8, "GPU": 1}, {"CPU": 8, "GPU": 1}], 2, (8, 1)),
        ([{"CPU": 9, "GPU": 1}, {"memory": 1}], 3, (3, 0.3333)),
        ([{"CPU": 8}, {"CPU": 4, "GPU": 2}], 2, (2, 1)),  # where the GPUs are
    ],
)
def test_the_share_of_a_task(machines, jobs, expected):
    assert share(machines, jobs) == expected


def test_machines_without_a_core():
    with pytest.raises(GaardError, match="has no CPUs"):
        share([{"memory": 1}], 1)
