"""Two writers of one folder: the second refuses and names the first; a lock of a process that is gone is no lock."""

import os
import time
from platform import node

import psutil
import pytest
from filelock import SoftFileLock
from small import done, made

from forked import FORKS
from gaard import cli
from gaard.errors import CheckpointError, GaardError
from gaard.training.lock import LOCK, is_locked, lock_folder, unlock_folder
from gaard.training.runlog import read_jsonl


def hold(folder, tell):
    lock_folder(folder)
    tell.send(os.getpid())
    time.sleep(600)


@pytest.fixture
def holder(tmp_path):
    """Another process that works in a folder, and its pid; it ends with the test."""
    started = []

    def start(folder):
        tells, tell = FORKS.Pipe(duplex=False)
        process = FORKS.Process(target=hold, args=(folder, tell))
        process.start()
        started.append(process)
        tell.close()
        return tells.recv(), process

    yield start
    for process in started:
        process.kill()


def test_a_second_run_refuses_with_the_owners_pid_and_host(tmp_path, holder, undisturbed):
    (tmp_path / "run").mkdir()
    pid, process = holder(tmp_path / "run")
    with pytest.raises(CheckpointError) as caught:
        made(tmp_path / "run").train()
    assert f"process {pid} on this machine ({node()}). Wait for it, stop it, or use another output_dir" in str(
        caught.value
    )
    assert is_locked(tmp_path / "run")
    process.kill()
    process.join()
    assert not is_locked(tmp_path / "run")
    assert done(tmp_path / "run") == undisturbed


def test_a_second_study_refuses_with_the_owners_pid_and_host(carried_out, holder):
    folder, again = carried_out
    pid, process = holder(folder)
    with pytest.raises(CheckpointError, match=rf"process {pid} on this machine \({node()}\).*use another --out"):
        again(folder)
    assert cli.main(["report", str(folder)]) == 0  # a page may be made all the same
    process.kill()
    process.join()
    again(folder)


def test_a_lock_whose_process_number_another_one_has_now_counts_for_nothing(tmp_path, undisturbed):
    """As after a container begins again: its processes get the numbers that they had."""
    lock = SoftFileLock(tmp_path / LOCK)
    lock.acquire()
    content = (tmp_path / LOCK).read_text().split("\n")
    lock.release()
    for pid in (os.getpid(), psutil.Process().ppid()):
        (tmp_path / LOCK).write_text("\n".join([str(pid), content[1], str(int(content[2]) - 1), *content[3:]]))
        assert done(tmp_path) == undisturbed
    assert not (tmp_path / LOCK).exists()


def test_two_trainers_of_one_process_do_not_write_by_turns(tmp_path):
    """As where a cell of a notebook is run twice: the lock is the process's."""
    first = made(tmp_path)
    for _ in range(2):
        first.training_step()
    second = made(tmp_path)
    assert second.training_step()["step"] == 3
    with pytest.raises(GaardError, match=r"has written .*metrics\.jsonl since step 2, such as another trainer of this"):
        first.training_step()
    second.train()
    assert [row["step"] for row in read_jsonl(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4]


def test_a_page_is_not_told_of_a_process_that_began_after_its_lock(tmp_path):
    """Else it would say for ever that the run goes on."""
    lock_folder(tmp_path)
    assert is_locked(tmp_path)
    before = psutil.Process().create_time() - 60
    os.utime(tmp_path / LOCK, (before, before))
    assert not is_locked(tmp_path)
    unlock_folder(tmp_path)
    assert not is_locked(tmp_path)


def test_an_empty_lock_is_named_with_the_file_to_delete(tmp_path):
    (tmp_path / LOCK).write_text("")
    with pytest.raises(CheckpointError, match=rf"if that process is gone, delete .*{LOCK}"):
        made(tmp_path).train()
