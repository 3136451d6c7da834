"""Workflows and templates of GitHub: they are read nowhere else before they are used there."""

import re

import pytest
import yaml

from pages import MAKE_TARGETS, PROJECT, ROOT

GITHUB = ROOT / ".github"
WORKFLOWS = sorted(path.name for path in (GITHUB / "workflows").iterdir())
FORMS = sorted(path.name for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
PYTHONS = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
FIELDS = {"markdown", "textarea", "input", "dropdown", "checkboxes"}


def workflow(name: str) -> dict:
    return yaml.safe_load((GITHUB / "workflows" / name).read_text(encoding="utf-8"))


def steps(name: str) -> list[dict]:
    return [step for job in workflow(name)["jobs"].values() for step in job["steps"]]


def form(name: str) -> dict:
    return yaml.safe_load((GITHUB / "ISSUE_TEMPLATE" / name).read_text(encoding="utf-8"))


def test_there_are_workflows_and_forms():
    assert WORKFLOWS == ["ci.yml", "publish.yml", "slow.yml", "wheels.yml"]
    assert FORMS == ["bug.yml", "missed_hack.yml"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_commands_of_a_workflow_exist(name):
    commands = [step["run"] for step in steps(name) if "run" in step]
    assert commands
    for command in commands:
        found = re.fullmatch(r"make ([\w-]+)( \w+=\S.*)?|bash (\S+)", command)
        assert found, f"{command!r} is neither a target of the Makefile nor a script"
        assert found[1] in MAKE_TARGETS or (ROOT / (found[3] or "none")).is_file(), command


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_pinned_by_major_version_and_few(name):
    for step in steps(name):
        assert ("uses" in step) != ("run" in step)
        if "uses" in step:
            assert re.fullmatch(r"(actions|pypa)/[\w-]+@(release/)?v\d+", step["uses"]), step["uses"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_may_read_the_code_and_no_more_and_knows_no_secret(name):
    assert workflow(name)["permissions"] == {"contents": "read"}
    assert "secrets" not in (GITHUB / "workflows" / name).read_text(encoding="utf-8")
    more = {
        job: settings["permissions"] for job, settings in workflow(name)["jobs"].items() if "permissions" in settings
    }
    assert more == ({"publish": {"id-token": "write"}} if name == "publish.yml" else {})


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_job_runs_for_ever(name):
    assert all(job["timeout-minutes"] <= 120 for job in workflow(name)["jobs"].values())


def test_every_python_that_is_named_is_tested():
    for name, job in (("ci.yml", "test"), ("wheels.yml", "smoke")):
        assert workflow(name)["jobs"][job]["strategy"]["matrix"]["python"] == PYTHONS


def test_only_a_release_publishes():
    on = workflow("publish.yml")[True]  # YAML 1.1 reads `on` as true
    assert on == {"release": {"types": ["published"]}}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_one_that_github_takes(name):
    found = form(name)
    assert set(found) == {"name", "description", "labels", "body"}
    fields = [field for field in found["body"] if field["type"] != "markdown"]
    assert fields
    assert {field["type"] for field in found["body"]} <= FIELDS
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)
    assert any(field.get("validations", {}).get("required") for field in fields)
    for field in fields:
        assert field["type"] != "dropdown" or len(set(field["attributes"]["options"])) > 1


def test_the_chooser_is_valid():
    assert set(form("config.yml")) <= {"blank_issues_enabled", "contact_links"}
