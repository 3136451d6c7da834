"""Arms: what each is in words, and how a user's own are stated."""

import pytest

from gaard import cli
from gaard.errors import ConfigError
from gaard.lab.arms import ARMS, Arm
from gaard.lab.given_arms import find_arm, find_arms
from gaard.methods import GAA, PPO, Fold
from gaard.regularizers import SAM
from user_files import OWN_ARM


def test_an_arm_stated_in_place_starts_from_its_base():
    arm = find_arm({"name": "soft", "base": "gaa-code", "kl_coef": 0.25, "regularizers": ["sam"]})
    assert (arm.method, arm.regularizers, dict(arm.settings)) == (GAA(reading="code"), (SAM(),), {"kl_coef": 0.25})
    assert arm.summary == "gaa, reading code, eta_scale 1, sigma_scale 0.5; sam, radius 0.01; kl_coef 0.25"
    again = find_arm(
        {"name": "softer", "base": "ppo-kl-0.3", "method": {"name": "fold", "threshold": 2}, "summary": "s"}
    )
    assert again == Arm("softer", "s", Fold(threshold=2), settings={"kl_coef": 0.3})
    nested = find_arm({"name": "x", "base": {"name": "y", "base": "ppo-sam"}, "learning_rate": 1.0})
    assert (nested.regularizers, dict(nested.settings)) == ((SAM(),), {"learning_rate": 1.0})


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        (ARMS["ppo"], "ppo"),
        (ARMS["fold"], "fold, threshold 3"),
        (ARMS["gaa-text"], "gaa, reading text, eta_scale 1, sigma_scale 0.5"),
        (ARMS["gaa-code"], "gaa, reading code, eta_scale 1, sigma_scale 0.5"),
        (ARMS["ppo-gradient-norm"], "ppo; gradient-norm, coef 0.05, radius 0.01"),
        (ARMS["ppo-kl-budget"], "ppo; kl-budget, limit 0.1"),
        (ARMS["ppo-kl-0.3"], "ppo; kl_coef 0.3"),
        (ARMS["oracle"], "ppo; trained_reward true"),
        (
            Arm(
                "x", "", GAA(greedy_clip="inside"), ["sam", "par"], {"advantages": {"lam": 0.0}, "learning_rate": 1e-5}
            ),
            "gaa, reading expected, greedy_clip inside, eta_scale 1, sigma_scale 0.5; sam, radius 0.01; par, "
            "completions 8; advantages lam 0; learning_rate 1e-05",
        ),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_an_arm_in_words_is_all_that_it_sets(arm, words):
    assert arm.in_words() == words


def test_no_two_arms_are_one():
    assert len({arm.in_words() for arm in ARMS.values()}) == len(ARMS)
    assert all(("gaa" in name) == arm.method.observes.of_likely_tokens for name, arm in ARMS.items())


def test_arms_of_a_users_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN_ARM)
    assert (
        find_arm(str(path))
        == find_arm(f"{path}:careful")
        == Arm("careful", "PPO on a short leash", PPO(), settings={"kl_coef": 2.0})
    )
    with pytest.raises(ConfigError, match=r"'carefull' in .*mine\.py is no Arm\. Did you mean 'careful'\?"):
        find_arm(f"{path}:carefull")
    path.write_text("x = 1\n")
    with pytest.raises(ConfigError, match=r"holds 0 arms \(none\)"):
        find_arms([str(path)])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"settings": {"method": "ppo"}},
            r"arm 'x': settings hold 'method', a field of the arm: Arm\(..., method=...\)",
        ),
        ({"settings": {"regularizers": []}}, "settings hold 'regularizers', a field of the arm"),
        ({"settings": {"output_dir": "y"}}, "arm 'x' sets 'output_dir', which belongs to a single run"),
        (
            {"settings": {"threshold": 2}},
            r"arm 'x': 'threshold' is no field of a run: give it as method: \{name: fold or drop or clip, t",
        ),
        ({"settings": 3}, "arm 'x': settings=3 must map fields of a run to values"),
        ({"method": "fodl"}, "method='fodl' is not known: did you mean 'fold'"),
    ],
)
def test_what_an_arm_may_get_wrong_is_named(fields, message):
    with pytest.raises(ConfigError, match=message):
        Arm("x", "", **fields)


@pytest.mark.parametrize(
    "given",
    [
        {"name": "ppo", "method": {"name": "fold"}},
        {"name": "fold", "base": "fold", "kl_coef": 1.0},
        {"name": "ppo-sam", "method": "ppo"},
        {"name": "x", "base": {"name": "ppo", "method": "fold"}},
        Arm("oracle"),
        "arm.py",
    ],
    ids=str,
)
def test_the_name_of_a_known_arm_means_that_arm(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "arm.py").write_text(OWN_ARM.replace('"careful"', '"ppo"'))
    with pytest.raises(ConfigError, match=r"has the name of one of gaard's \(.*\) and is another.*: name it otherwise"):
        find_arm(given)
    assert find_arm({"name": "oracle", "base": "oracle", "summary": "mine"}).settings == ARMS["oracle"].settings


@pytest.mark.parametrize("name", ["gaa-text", "gaa", "my-gaa", "my_gaa.2", "ppo+GAA", "gaa=1"])
def test_an_arm_called_gaa_looks_at_greedy_tokens(name):
    with pytest.raises(ConfigError, match=r"and its method, fold, looks at no greedy token|has the name of one"):
        find_arm({"name": name, "method": "fold"})
    if name != "gaa-text":
        assert find_arm({"name": name, "method": {"name": "gaa", "reading": "code"}}).name == name
    assert find_arm({"name": "gaaxy", "method": "fold"}).method == Fold()


def test_every_arm_is_listed(capsys):
    assert cli.main(["arms"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ARMS)
