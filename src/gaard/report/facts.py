"""What a page says of how its numbers came about: settings, versions, dates, and what gives them again."""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import yaml

from gaard.lab.arms import ARMS, UNTRAINED
from gaard.lab.spec import ASKED_ONCE, RunSpec
from gaard.lab.study import OWN_SCENARIO
from gaard.report.run_files import RunFiles, moment
from gaard.report.study_files import StudyFiles
from gaard.report.tables import FIRST, MOST
from gaard.training.identity import EVAL_PROMPTS

Rows = list[tuple[str, str]]
OF_PLACE = ("output_dir", "seed", "overwrite", "accept_changed_rewards", "progress")  # nothing of them is a setting
VERSIONS = ("gaard", "algorithm", "commit", "torch", "transformers", "device", "threads")
STUDY_FILE, SETTINGS_FILE = "study.yaml", "settings.yaml"


def run_facts(run: RunFiles) -> dict[str, Any]:
    """Of one run.

    Args:
        run: The run.

    Returns:
        ``command``, which gives the run again wherever it is given (None if it was made from Python), ``file`` and
        ``file_name`` (None), ``about`` and ``settings``, which are rows of a name and a value. ``about`` has the
        command that made the run and the date, as ``run.json`` keeps them.
    """
    settings = [(key, _words(value)) for key, value in run.config.items() if key not in ("output_dir", "overwrite")]
    rewards = run.record.get("rewards", {})
    named = [("trains on", rewards.get("proxy")), ("was meant", rewards.get("true")), ("judge", rewards.get("judge"))]
    about = [(name, str(value)) for name, value in named if value]
    prompts = {"prompts": "prompts", EVAL_PROMPTS: "measured on"}
    about += [(name, str(run.record[key])) for key, name in prompts.items() if key in run.record]
    about += [*_asked([run]), *_versions([run]), *_times([run])]
    return {"command": train_command(run.config), "file": None, "file_name": None, "about": about, "settings": settings}


def study_facts(study: StudyFiles) -> dict[str, Any]:
    """Of a study.

    Args:
        study: Its files.

    Returns:
        As :func:`run_facts`; ``file`` is the study's YAML. Settings that differ say where they are what.
    """
    begun = [run for run in study.runs if run.config]
    command, file, name = study_command(study.results["study"])
    trained = [run for run in begun if run.key.arm != UNTRAINED]
    about = [*_asked(begun), *_versions(begun), *_times(begun)]
    return {"command": command, "file": file, "file_name": name, "about": about, "settings": _settings_of(trained)}


def train_command(config: Mapping[str, Any]) -> str | None:
    """What trains the same run on the command line.

    Args:
        config: Of its ``run.json``.

    Returns:
        The command, with the settings that are not the defaults; None for a run whose rewards came from Python.
    """
    usual = RunSpec(output_dir="-").record()
    if "reward_funcs" not in config:
        return None
    words = ["gaard", "train"]
    for key, default in usual.items():
        value = config.get(key, default)  # older records lack what was not yet a setting
        if value != default and key not in ASKED_ONCE:
            words += [f"--{key}", _option(value)]
    return shlex.join(words)


def _option(value: Any) -> str:
    """A value as the command line takes it; a name alone where there are no options beside it."""
    if isinstance(value, Mapping) and set(value) == {"name"}:
        return str(value["name"])
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def study_command(study: Mapping[str, Any]) -> tuple[str, str, str]:
    """What runs the same study, and the file that it needs.

    Args:
        study: As ``results.json`` states it.

    Returns:
        Command, the file's YAML, and its name.
    """
    arms = [_stated(arm) for arm in study["arms"]]
    if list(study["scenarios"]) == [OWN_SCENARIO]:
        names = ",".join(arm["name"] for arm in study["arms"])
        seeds = ["--seeds", str(len(study["seeds"])), "--baseline", study["baseline"]]
        command = ["gaard", "compare", "--config", SETTINGS_FILE, "--arms", names, *seeds]
        first = {"seed": study["seeds"][0]}
        return shlex.join(command), _yaml({**study["settings"], **first}), SETTINGS_FILE
    scenarios = [settings["scenario"] for settings in study["scenarios"].values()]
    parts = {"summary": study["summary"], "scenarios": scenarios, "arms": arms, "seeds": study["seeds"]}
    parts |= {"baseline": study["baseline"], "settings": study["settings"]}
    file = _yaml({key: value for key, value in parts.items() if value})
    return shlex.join(["gaard", "compare", STUDY_FILE]), file, STUDY_FILE


def _yaml(content: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)


def _stated(arm: Mapping[str, Any]) -> Any:
    """An arm as a study's file has it: by its name, if gaard knows it."""
    known = ARMS.get(arm["name"])
    if known is not None and json.loads(json.dumps(known.record())) == arm:
        return arm["name"]
    own = {key: arm[key] for key in ("name", "summary", "method", "regularizers")}
    return {**own, **arm["settings"]}


def _settings_of(runs: Sequence[RunFiles]) -> Rows:
    """Settings of a study's runs: once where all have the same, else by scenario, by arm, or by both."""
    names = list(dict.fromkeys(key for run in runs for key in run.config if key not in OF_PLACE))
    rows: Rows = []
    for name in names:
        # As JSON: what a long list is shown by may be the same of two.
        values = [(run.key, json.dumps(run.config.get(name), sort_keys=True)) for run in runs]
        by_whom = [
            {key.scenario: value for key, value in values},
            {key.arm: value for key, value in values},
            {f"{key.scenario}, {key.arm}": value for key, value in values},
        ]
        places = [("scenario",), ("arm",), ("scenario", "arm")]
        if len({value for _, value in values}) == 1:
            rows.append((name, _words(json.loads(values[0][1]))))
            continue
        for found, place in zip(by_whom, places, strict=True):
            if all(found[", ".join(getattr(key, one) for one in place)] == value for key, value in values):
                rows += [(f"{name} ({owner})", _words(json.loads(value))) for owner, value in found.items()]
                break
    return rows


def _asked(runs: Sequence[RunFiles]) -> Rows:
    """By which commands the runs were made, each once, and when the first of them began."""
    code = [facts for run in runs for facts in run.record.get("code", [])]
    commands = dict.fromkeys(facts["command"] for facts in code if "command" in facts)
    dates = [datetime.fromisoformat(facts["date"]).timestamp() for facts in code if "date" in facts]
    rows = [("command", "\n".join(commands))] if commands else []
    return [*rows, ("begun", moment(min(dates)))] if dates else rows


def _versions(runs: Iterable[RunFiles]) -> Rows:
    """What the runs ran under, each once."""
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        for facts in run.record.get("code", []):
            for name in VERSIONS:
                if facts.get(name) is not None:
                    changed = " (with changes)" if name == "commit" and facts.get("dirty") else ""
                    found.setdefault(name, {})[f"{facts[name]}{changed}"] = None
    return [(name, ", ".join(values)) for name, values in found.items()]


def _times(runs: Sequence[RunFiles]) -> Rows:
    """When the last step was logged, and how long all steps took."""
    written = [run.last_written for run in runs if run.last_written]
    seconds = sum(run.seconds for run in runs)
    rows = [("last step", max(written))] if written else []
    return [*rows, ("time in training steps", f"{seconds / 60:.1f} min")] if seconds else rows


def _words(value: Any) -> str:
    """A setting's value as a reader has it."""
    if value is None:
        return "–"
    if isinstance(value, Mapping):
        rest = (f"{key} {_words(one)}" for key, one in value.items() if key != "name")
        return ", ".join([*([str(value["name"])] if "name" in value else []), *rest])
    if isinstance(value, list):
        first = "; ".join(map(_words, value if len(value) <= MOST else value[:FIRST])) or "none"
        return first if len(value) <= MOST else f"{len(value)}, such as {first}"
    return f"{value:g}" if isinstance(value, float) else str(value)
