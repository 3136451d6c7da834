"""One process at a time works in the folder of a run or a study."""

import json
import os
import re
import subprocess
import sys
from platform import node

import pytest

from gaard import cli
from gaard.errors import CheckpointError
from gaard.training.lock import LOCK, is_locked, lock_folder, unlock_folder
from gaard.training.trainer import GAATrainer
from tiny import tiny_trainer

OTHER = "import sys; from pathlib import Path; from gaard.training.lock import lock_folder; lock_folder(Path({!r}))"


def elsewhere(folder, then=""):
    """Another process that locks the folder."""
    code = f"{OTHER.format(str(folder))}\n{then}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_another_process_is_refused_and_told_who_is_there(tmp_path):
    lock_folder(tmp_path)
    refused = elsewhere(tmp_path)
    assert refused.returncode == 1
    assert f"process {os.getpid()} on this machine" in refused.stderr
    assert "use another output_dir" in refused.stderr
    unlock_folder(tmp_path)
    assert elsewhere(tmp_path).returncode == 0


def test_a_lock_whose_process_was_killed_counts_for_nothing(tmp_path):
    killed = elsewhere(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert killed.returncode == -9
    assert (tmp_path / LOCK).exists()
    lock_folder(tmp_path)
    unlock_folder(tmp_path)
    assert not (tmp_path / LOCK).exists()


def test_of_another_machine_nobody_knows_and_the_file_to_delete_is_named(tmp_path):
    (tmp_path / LOCK).write_text(f"4\nnot-{node()}\n1\n")
    with pytest.raises(CheckpointError, match=f"process 4 on not-{node()}.*delete {re.escape(str(tmp_path / LOCK))}"):
        lock_folder(tmp_path)


def test_whether_somebody_is_at_work_can_be_asked_from_elsewhere(tmp_path):
    assert not is_locked(tmp_path)
    lock_folder(tmp_path)
    assert is_locked(tmp_path)
    unlock_folder(tmp_path)
    assert not is_locked(tmp_path)
    elsewhere(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert (tmp_path / LOCK).exists()
    assert not is_locked(tmp_path)  # its process is gone
    for content in (f"4\nnot-{node()}\n", ""):  # nobody can tell
        (tmp_path / LOCK).write_text(content)
        assert is_locked(tmp_path)


def test_a_study_keeps_others_out_and_names_its_own_option(tmp_path, monkeypatch, capsys):
    (tmp_path / LOCK).write_text(f"4\nnot-{node()}\n1\n")
    words = ["--scenario", "capped", "--arms", "ppo", "--seeds", "1", "--max_steps", "1", "--use_cpu", "true"]
    assert cli.main(["compare", *words, "--out", str(tmp_path)]) == 2
    assert "use another --out; if that process is gone" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]


def test_gaard_train_keeps_the_folder_until_the_run_is_measured(tmp_path, monkeypatch):
    seen = []
    for save in ("save_model", "save_card"):
        monkeypatch.setattr(GAATrainer, save, lambda self, *given: seen.append(is_locked(tmp_path)))
    words = ["--scenario", "capped", "--max_steps", "1", "--eval_completions", "0", "--use_cpu", "true"]
    assert (
        cli.main(["train", *words, "--batch_size", "4", "--num_mini_batches", "1", "--output_dir", str(tmp_path)]) == 0
    )
    assert seen == [True, True]
    assert not is_locked(tmp_path)


def test_the_same_process_may_and_the_last_one_unlocks(tmp_path):
    lock_folder(tmp_path)
    lock_folder(tmp_path)
    unlock_folder(tmp_path)
    assert elsewhere(tmp_path).returncode == 1
    unlock_folder(tmp_path)
    assert elsewhere(tmp_path).returncode == 0


def test_a_run_is_locked_while_it_trains_and_free_when_it_is_done_or_has_failed(tmp_path):
    seen = []

    def reward(completions, **_):
        seen.append((tmp_path / LOCK).exists())
        if len(seen) == 3:
            raise ValueError("no")
        return [float(len(text)) for text in completions]

    trainer = tiny_trainer(tmp_path, reward=reward, max_steps=3, method="ppo")
    with pytest.raises(Exception, match="no"):
        trainer.train()
    assert not (tmp_path / LOCK).exists()
    trainer.train()
    trainer.evaluated()
    assert seen == [True] * len(seen)
    assert len(seen) > 4
    assert not (tmp_path / LOCK).exists()


def test_a_trainer_that_left_goes_on_from_what_another_one_did_meanwhile(tmp_path):
    """Two trainers take turns; each step is in the log once."""
    one, other = (tiny_trainer(tmp_path, max_steps=4, save_steps=1, method="ppo") for _ in range(2))
    for trainer in (one, other, one, other):
        trainer.training_step()
        trainer.run.close()
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").open()]
    assert steps == [1, 2, 3, 4]
