"""Every kind of fault that is tried, and the test that tries it; docs/reliability.md has the same table."""

KILLS = "faults/test_kills.py::test_kills_of_runs_change_nothing"
KILLS_OF_STUDIES = "faults/test_kills.py::test_kills_of_studies_change_nothing"
SIGNALS, PEERS, WRITERS = (
    "faults/test_signals.py::test_",
    "faults/test_peers.py::test_",
    "faults/test_writers.py::test_",
)
GOES_ON = "faults/test_damage.py::test_a_damaged_run_goes_on_to_the_same_end"
MEASURED = "faults/test_damage.py::test_lost_measures_are_taken_again"
NAMED = "faults/test_damage.py::test_a_damage_that_cannot_be_mended_is_named"
GARBLED = "faults/test_damage.py::test_a_garbled_line_costs_no_other_line"
UNREAD = "faults/test_damage.py::test_what_cannot_be_read_now_is_not_called_damaged"
RESULTS = "faults/test_damage.py::test_damaged_results_are_made_again_from_the_runs"
REWARDS = "faults/test_failing_rewards.py::test_"
EXHAUSTED = "faults/test_exhausted.py::test_"
PASSED_OVER = "unit/test_checkpoint.py::test_a_damaged_checkpoint_is_passed_over_for_the_last_good_one"
CHECKPOINT_FULL = "unit/test_full_disk.py::test_"
FILLED = f"{CHECKPOINT_FULL}a_disk_that_fills_during_training_ends_it_clearly_and_it_goes_on_later"
NUMBER = f"{WRITERS}a_lock_whose_process_number_another_one_has_now_counts_for_nothing"
LOCKS = "unit/test_lock.py::test_"
RAY, ENGINE = "e2e/test_ray.py::test_", "unit/test_engine.py::test_"

KINDS = {
    # Killed by SIGKILL
    "killed in a rollout": KILLS,
    "killed in an update": KILLS,
    "killed in a metrics line": KILLS,
    "killed in a checkpoint's writing": KILLS,
    "killed in an evaluation": KILLS,
    "killed in taking a run up again": KILLS,
    "killed in the model's saving": KILLS,
    "killed in the writing of a study's results": KILLS_OF_STUDIES,
    "a study killed at any moment": "e2e/test_killed_study.py::test_kills_at_any_moment_change_nothing",
    "one of two processes of a run killed": f"{PEERS}where_one_is_killed_the_other_ends_with_an_error",
    "one job of a study killed": f"{ENGINE}a_process_that_dies_is_told_of",
    "a worker of Ray killed": f"{RAY}only_the_run_whose_process_is_killed_is_begun_again",
    # Signals
    "SIGTERM or Ctrl-C in a step": f"{SIGNALS}the_step_is_finished_and_saved",
    "SIGTERM or Ctrl-C twice": f"{SIGNALS}the_second_stops_at_once",
    "Ctrl-C twice while a checkpoint is written": f"{SIGNALS}the_second_while_it_is_saved_leaves_no_half_checkpoint",
    "SIGTERM or Ctrl-C of gaard train": f"{SIGNALS}gaard_train_ends_with_the_conventional_status",
    "SIGTERM of a study with several jobs": f"{SIGNALS}a_study_with_several_jobs_saves_the_steps_that_go_on",
    "SIGTERM of one of two processes": f"{PEERS}where_one_is_told_to_end_both_stop_behind_the_same_step",
    # Disk and folder
    "disk full at a checkpoint": f"{CHECKPOINT_FULL}a_full_disk_is_named_and_costs_no_earlier_checkpoint",
    "disk full, on a real file system": FILLED,
    "disk full at a metrics line": f"{EXHAUSTED}a_disk_that_is_full_at_a_metrics_line",
    "disk full at a study's results": f"{EXHAUSTED}a_disk_that_is_full_at_a_studys_results",
    "disk full at a page": f"{EXHAUSTED}a_disk_that_is_full_at_a_page",
    "a limit on the size of files": f"{EXHAUSTED}a_limit_on_the_size_of_files",
    "output folder becomes read-only": f"{EXHAUSTED}a_file_system_that_becomes_read_only",
    "output folder cannot be made": f"{EXHAUSTED}a_folder_that_cannot_be_made",
    "output folder vanishes": f"{EXHAUSTED}a_folder_that_vanishes_is_named_and_may_be_put_back",
    # Damaged files
    "checkpoint: weights cut off": f"{PASSED_OVER}[truncated]",
    "checkpoint: a bit flipped": f"{PASSED_OVER}[bit_flipped]",
    "checkpoint: a file gone": f"{PASSED_OVER}[without_a_file]",
    "checkpoint: state gone": f"{PASSED_OVER}[without_state]",
    "checkpoint: state cut off": f"{PASSED_OVER}[of_bad_json]",
    "checkpoint: other JSON as state": f"{PASSED_OVER}[of_other_json]",
    "checkpoint: a digit of the state changed": f"{PASSED_OVER}[with_a_digit_changed]",
    "checkpoint: an empty folder": f"{PASSED_OVER}[emptied]",
    "every checkpoint damaged": "unit/test_checkpoint.py::test_when_all_are_damaged_the_remedy_is_named",
    "a checkpoint and a file half renamed": GOES_ON,
    "weights of another step in a checkpoint": GOES_ON,
    "a checkpoint under another step's name": GOES_ON,
    "metrics.jsonl cut off in a line": GOES_ON,
    "metrics.jsonl with lines of steps that no checkpoint has": GOES_ON,
    "metrics.jsonl with lines lost": "oracle/test_interruptions.py::test_rows_that_the_log_has_lost_are_warned_of",
    "metrics.jsonl with a line garbled": GARBLED,
    "samples.jsonl with a line garbled": GARBLED,
    "evaluations.jsonl with a line nested without end": GARBLED,
    "warnings.jsonl with a row of another program": GARBLED,
    "samples.jsonl with bytes that are no text": GOES_ON,
    "evaluations.jsonl cut off in a line": GOES_ON,
    "timings.jsonl emptied": GOES_ON,
    "evaluation.json of an earlier end": GOES_ON,
    "evaluation.json cut off": MEASURED,
    "evaluation.json with other JSON in it": MEASURED,
    "evaluation.json without measures": MEASURED,
    "evaluation.json with some measures": MEASURED,
    "evaluation.json with a text in a measure's place": MEASURED,
    "evaluation.json nested without end": MEASURED,
    "evaluation.json gone": MEASURED,
    "run.json cut off": NAMED,
    "run.json of another program": NAMED,
    "run.json that is no text": NAMED,
    "run.json nested without end": NAMED,
    "results.json cut off": RESULTS,
    "results.json with other JSON in it": RESULTS,
    "results.json with a bit flipped": RESULTS,
    "results.json gone": RESULTS,
    "results.json half renamed": RESULTS,
    "runs.parquet cut off": RESULTS,
    "runs.parquet with a bit flipped": RESULTS,
    "runs.parquet half renamed": RESULTS,
    # Rewards
    "a reward raises": f"{REWARDS}a_failure_is_named_and_costs_nothing",
    "a reward returns NaN": f"{REWARDS}a_failure_is_named_and_costs_nothing",
    "a reward returns inf": f"{REWARDS}a_failure_is_named_and_costs_nothing",
    "a reward returns strings": f"{REWARDS}a_failure_is_named_and_costs_nothing",
    "a reward returns too few": f"{REWARDS}a_failure_is_named_and_costs_nothing",
    "a reward returns too many": f"{REWARDS}a_failure_is_named_and_costs_nothing",
    "a reward returns one number": f"{REWARDS}a_failure_is_named_and_costs_nothing",
    "a reward runs out of memory": f"{REWARDS}a_failure_is_named_and_costs_nothing",
    "a reward hangs": f"{REWARDS}a_failure_is_named_and_costs_nothing",
    "an asynchronous reward hangs": f"{REWARDS}a_failure_is_named_and_costs_nothing",
    "an asynchronous reward holds up its loop": f"{REWARDS}a_failure_is_named_and_costs_nothing",
    "a reward inside another hangs": f"{REWARDS}a_reward_inside_another_is_named",
    "a detector hangs": f"{REWARDS}a_detector_that_hangs_is_named",
    "a reward ends the process": f"{REWARDS}a_reward_that_ends_the_process_ends_it_and_costs_nothing",
    "a reward server dies": f"{REWARDS}a_server_that_dies_stops_the_run_and_costs_nothing",
    # Memory and clock
    "an accelerator's memory is exhausted": f"{EXHAUSTED}exhausted_memory_says_what_to_lower",
    "memory is exhausted, as Python says it": f"{EXHAUSTED}exhausted_memory_says_what_to_lower",
    "memory is exhausted, as PyTorch says it of a CPU": f"{EXHAUSTED}exhausted_memory_says_what_to_lower",
    "memory is exhausted in the second update of a step": f"{EXHAUSTED}what_is_saved_of_a_step_that_fails",
    "memory is exhausted in the evaluation behind a step": f"{EXHAUSTED}what_is_saved_of_a_step_that_fails",
    "memory is exhausted while a checkpoint is read": UNREAD,
    "a disk fails while a checkpoint is read": UNREAD,
    "the clock is set back": f"{EXHAUSTED}a_clock_that_is_set_back_changes_nothing",
    # Two writers
    "a second run in one folder": f"{WRITERS}a_second_run_refuses_with_the_owners_pid_and_host",
    "a second study in one folder": f"{WRITERS}a_second_study_refuses_with_the_owners_pid_and_host",
    "a lock whose process is gone": f"{LOCKS}a_lock_whose_process_was_killed_counts_for_nothing",
    "a lock whose process number is another's now": NUMBER,
    "a lock of another machine": f"{LOCKS}of_another_machine_nobody_knows_and_the_file_to_delete_is_named",
    "an empty lock": f"{WRITERS}an_empty_lock_is_named_with_the_file_to_delete",
    "a folder read while a study works in it": "faults/test_soaked.py::test_a_study_is_readable_at_every_moment",
}


def of(test: str) -> list[str]:
    """The kinds that a test tries, which are its parameters."""
    return [kind for kind, one in KINDS.items() if one == test]
