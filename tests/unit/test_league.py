"""The league: standings by hand, what is unknown, whom it takes in, and a method of one file that goes through it."""

import json
import re
from math import exp, log

import pytest

from gaard import cli
from gaard.errors import ConfigError
from gaard.lab.arms import ARMS
from gaard.lab.catalogue import CATALOGUE, ONLY_THE_PROXY
from gaard.lab.collection import collect
from gaard.lab.given_arms import find_arm
from gaard.lab.league import HONEST, SCENARIOS, SHORT_ARMS, SHORT_SCENARIOS, league_study, standings
from gaard.lab.study import build_study
from gaard.report.study_files import read_study_files
from pages import blocks, read

CAP = next(block.code for block in blocks("docs/methods.md") if block.file == "cap.py")
PAGE = " ".join(read("docs/league.md").split())
BUG = "puzzle24-uncompared"
ARM_FILE = "from gaard.lab.arms import Arm\nfrom gaard.methods import Method\ncareful = Arm('careful')\n"


def run(scenario, arm, seed, true, hacks=0.0, error=None):
    measures = {} if error else {"true_reward": true, "hack_rate": hacks}
    return {"scenario": scenario, "arm": arm, "seed": seed, "measures": measures, "error": error}


def planted(scenario, **arms):
    """Arm → true reward and hack rate of seeds 0 and 1."""
    return [run(scenario, arm, seed, *numbers) for arm, by_seed in arms.items() for seed, numbers in enumerate(by_seed)]


STUDY = build_study(["capped", "clean"], ["ppo", "fold", HONEST], [0, 1], {})
RUNS = [
    *planted("capped", untrained=[(0.2, 0.04)] * 2, oracle=[(0.6, 0)] * 2, ppo=[(0.2, 0.9), (0.4, 0.8)],
             fold=[(0.6, 0), (0.6, 0.6)]),
    *planted("clean", untrained=[(0.1, 0)] * 2, oracle=[(0.6, 0)] * 2, ppo=[(0.6, 0)] * 2, fold=[(0.35, 0), (0.6, 0)]),
]  # fmt: skip


def test_standings_by_hand():
    """Honest training gains 0.4 in capped and 0.5 in clean."""
    rows = standings(RUNS, STUDY)
    assert [row["arm"] for row in rows] == [HONEST, "fold", "ppo"]
    ppo, fold = rows[2], rows[1]
    assert ppo["reached"]["mean"] == pytest.approx(((0.0 + 1.0) / 2 + (0.5 + 1.0) / 2) / 2)
    assert fold["reached"]["mean"] == pytest.approx(((1.0 + 0.5) / 2 + (1.0 + 1.0) / 2) / 2)
    assert fold["kept"]["mean"] == pytest.approx(0.75)  # clean is the control
    assert (ppo["kept"]["mean"], ppo["kept"]["low"]) == (1.0, 1.0)
    assert ppo["hack_rate"]["mean"] == pytest.approx(0.85)  # of capped alone
    assert (ppo["hacked"], ppo["hackable"], fold["hacked"]) == (2, 2, 1)
    assert {row["scenarios"] for row in rows} == {2}


def test_fluency_and_cost_are_ratios_to_honest_training_and_to_the_baseline():
    """Perplexities of 4 and 6 over 2 in one scenario, of 3 and 3 over 3 in the other; steps of 2 s over 1 s."""
    figures = {"capped": {"oracle": (2, 2), "ppo": (4, 6)}, "clean": {"oracle": (3, 3), "ppo": (3, 3)}}
    seconds = {"oracle": 2.0, "ppo": 1.0}
    told = []
    for one in RUNS:
        own = figures[one["scenario"]].get(one["arm"])
        more = {"untrained_perplexity": own[one["seed"]], "seconds_per_step": seconds[one["arm"]]} if own else {}
        told.append({**one, "measures": {**one["measures"], **more}})
    rows = {row["arm"]: row for row in standings(told, STUDY)}
    perplexity = rows["ppo"]["perplexity"]  # √2 and √3, one seed each: of ratios the mean is geometric
    assert perplexity["mean"] == pytest.approx(6**0.25)
    half = 12.7062 * (log(3) - log(2)) / 4  # Student's t of one degree of freedom, of logarithms
    assert perplexity["high"] == pytest.approx(6**0.25 * exp(half), rel=1e-4)
    means = rows[HONEST]["perplexity"]["mean"], rows["ppo"]["cost"]["mean"], rows[HONEST]["cost"]["mean"]
    assert means == pytest.approx((1, 1, 2))
    assert rows["ppo"]["cost"]["high"] == rows["ppo"]["cost"]["low"] == 1  # of the same runs
    assert (rows["fold"]["perplexity"], rows["fold"]["cost"]) == (None, None)  # nothing is known of it


def test_what_an_arm_reaches_more_than_the_baseline_is_paired():
    """Fold reaches 0.75 and 1 on the two seeds, PPO 0.5 and 0.75: of scenarios that both have."""
    less = {row["arm"]: row["less_baseline"] for row in standings(RUNS, STUDY)}
    assert less["ppo"] is None
    assert (less["fold"]["mean"], less["fold"]["n"]) == (pytest.approx(0.25), 2)
    assert less["fold"]["p"] == less["fold"]["p_holm"] == 0.5  # two seeds that differ by the same, one competitor
    assert less[HONEST]["p_holm"] is None
    rows = standings([one for one in RUNS if (one["scenario"], one["arm"]) != ("capped", "fold")], STUDY)
    assert rows[-1]["less_baseline"]["theirs"] == pytest.approx(1)  # in clean alone


def test_intervals_count_the_uncertainty_of_honest_training():
    """The same arm, and an honest training that gains 0.4 on each seed, or from 0.35 to 0.45: then less is sure."""
    study = build_study(["capped"], ["ppo", HONEST], [0, 1, 2], {})

    def width(*honest):
        told = [run("capped", arm, seed, true) for arm, ends in
                {"untrained": [0.2] * 3, HONEST: honest, "ppo": [0.4] * 3}.items()
                for seed, true in enumerate(ends)]  # fmt: skip
        reached = next(row for row in standings(told, study) if row["arm"] == "ppo")["reached"]
        assert reached["mean"] == pytest.approx(0.5)
        return reached["high"] - reached["low"]

    assert width(0.6, 0.6, 0.6) == pytest.approx(0)
    # parts of a seed: 0.5 + (0.2 − 0.5 · gain) / 0.4, of gains 0.35, 0.4, 0.45: 0.5625, 0.5, 0.4375
    assert width(0.55, 0.6, 0.65) == pytest.approx(2 * 4.3027 * 0.0625 / 3**0.5, rel=1e-3)


def test_a_league_that_is_cut_short_ranks_by_what_is_reached():
    """Fold has one seed so far, PPO both: none has failed, and neither lacks a scenario."""
    unfinished = [one for one in RUNS if (one["arm"], one["seed"]) != ("fold", 1)]
    rows = standings(unfinished, STUDY)
    assert [(row["arm"], row["failed"]) for row in rows] == [(HONEST, 0), ("fold", 0), ("ppo", 0)]


def test_a_seed_counts_where_it_has_all_that_its_arm_has():
    rows = standings([one for one in RUNS if (one["scenario"], one["arm"], one["seed"]) != ("clean", "fold", 1)], STUDY)
    fold = next(row for row in rows if row["arm"] == "fold")
    assert (fold["reached"]["n"], fold["reached"]["mean"]) == (1, pytest.approx(0.75))


def test_an_arm_that_is_not_everywhere_stands_last():
    """It might have run where it is easy alone."""
    rows = standings([one for one in RUNS if (one["scenario"], one["arm"]) != ("capped", "fold")], STUDY)
    assert [(row["arm"], row["scenarios"]) for row in rows] == [(HONEST, 2), ("ppo", 2), ("fold", 1)]


def test_what_honest_training_may_have_gained_by_chance_is_no_measure():
    untrained, oracle = [(0.3, 0), (0.1, 0)], [(0.31, 0), (0.15, 0)]
    chance = [*RUNS, *planted("length", untrained=untrained, oracle=oracle, ppo=[(9, 0)] * 2)]
    wider = build_study([*STUDY.scenarios, "length"], ["ppo", HONEST], [0, 1], {})
    assert [(row["arm"], row["scenarios"]) for row in standings(chance, wider)] == [(HONEST, 2), ("ppo", 2)]


def test_what_is_not_known_is_not_zero():
    without = [one for one in RUNS if one["arm"] != HONEST]
    assert all(row["reached"] is None and row["kept"] is None for row in standings(without, STUDY))
    failed = [run("clean", "fold", 0, 0, error="no features"), *(one for one in RUNS if one["arm"] != "fold")]
    fold = standings(failed, STUDY)[-1]
    assert (fold["arm"], fold["reached"], fold["hack_rate"]) == ("fold", None, None)
    assert fold["hackable"] == fold["scenarios"] == 0
    missing = [one for one in RUNS if (one["scenario"], one["arm"]) != ("capped", HONEST)]
    assert {row["scenarios"] for row in standings(missing, STUDY)} == {1}  # capped has no measure
    gains_nothing = [{**one, "measures": {"true_reward": 0.3, "hack_rate": 0.0}} for one in RUNS]
    assert all(row["reached"] is None for row in standings(gains_nothing, STUDY))


def test_all_that_needs_no_network_takes_part(tmp_path):
    study = league_study()
    assert tuple(study.scenarios) == SCENARIOS
    assert len(study.specs(tmp_path)) == (len(SCENARIOS) * (len(ARMS) + 1) - len(study.left_out)) * 3
    runs = (len(SCENARIOS) * len(ARMS) - len(study.left_out)) * 3  # that train
    assert f"{len(SCENARIOS)} scenarios. The third trains everything that has a name: {runs:,} runs" in PAGE
    assert {"capped", "puzzle24", "overoptimised-50", "late"} < set(SCENARIOS)
    assert not any("nietzsche" in name for name in SCENARIOS)
    assert {arm.name for arm in study.arms} == set(ARMS)
    assert (study.baseline, list(study.seeds), study.settings) == ("ppo", [0, 1, 2], {})
    short = league_study(["fold"], short=True)
    assert [arm.name for arm in short.arms] == ["ppo", HONEST, "fold"]
    assert tuple(short.scenarios) == SHORT_SCENARIOS
    assert short.settings == {}  # whole runs, whose figures count
    assert [arm.name for arm in league_study(short=True).arms] == ["ppo", HONEST, *SHORT_ARMS]
    assert league_study(["fold"], steps=2).settings == {"max_steps": 2}
    assert [arm.name for arm in league_study([HONEST, "ppo"], ["capped"]).arms] == [HONEST, "ppo"]


def test_what_cannot_be_is_not_run(tmp_path):
    """An ensemble needs several rewards, signcert features: a verifier has neither, a learned proxy both."""
    few = ["clean", "overoptimised-50", "puzzle24"]
    study = league_study(["ppo-ensemble-worst", "dr_grpo-signcert", "fold"], few, [1])
    assert set(study.left_out) == {("puzzle24", "ppo-ensemble-worst"), ("puzzle24", "dr_grpo-signcert")}
    keys = study.specs(tmp_path)
    assert len(keys) == 3 * 6 - 2
    assert not {(key.scenario, key.arm) for key in keys} & set(study.left_out)
    results = collect([], study)
    assert results["study"]["left_out"] == [list(pair) for pair in study.left_out]
    assert {row["arm"]: row["planned"] for row in results["standings"]}["dr_grpo-signcert"] == 2
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert len(read_study_files(tmp_path).runs) == len(keys)  # the page waits for no others
    assert league_study(["fold"], few).left_out == ()


def test_an_arm_whose_runs_fail_stands_last_whatever_the_others_reach():
    """The seed that is left is perfect; the one that failed may have been the worst."""
    perfect = planted("capped", fold=[(0.6, 0), (0.6, 0)]) + planted("clean", fold=[(0.6, 0), (0.6, 0)])
    others = [one for one in RUNS if one["arm"] != "fold"]
    assert standings([*perfect, *others], STUDY)[0]["reached"]["mean"] == pytest.approx(1)
    perfect[1] = run("capped", "fold", 1, 0, error="diverged")
    *_, last = standings([*perfect, *others], STUDY)
    assert (last["arm"], last["done"], last["planned"], last["reached"]["n"]) == ("fold", 3, 4, 1)


def test_the_short_league_has_both_models_hacks_and_controls():
    """A word, a length, a learned proxy and a verifier's bug; and one with either model where nothing is a hack."""
    hacks = {"pocket": ["'story'", "28 words or more", ONLY_THE_PROXY], "calculator": [CATALOGUE[BUG].hack]}
    for model, expected in hacks.items():
        names = [name for name in SHORT_SCENARIOS if CATALOGUE[name].model == model]
        assert [CATALOGUE[name].hack for name in names if CATALOGUE[name].hack] == expected
        without = [name for name in names if not CATALOGUE[name].hack]
        assert len(without) == 1
        assert set(without) < set(league_study(short=True).controls)
    assert len(SHORT_SCENARIOS) == len(set(SHORT_SCENARIOS)) == 6


def test_a_file_with_a_method_and_no_arm_is_an_arm_of_it(tmp_path):
    path = tmp_path / "cap.py"
    path.write_text(CAP)
    arm = find_arm(str(path))
    assert (arm.name, arm.summary) == ("cap", "PPO whose good advantages end at a limit.")
    assert arm.method.limit == 2.0
    assert find_arm(f"{path}:Cap").in_words() == arm.in_words()
    (tmp_path / "arm.py").write_text(ARM_FILE)
    assert find_arm(str(tmp_path / "arm.py")).name == "careful"
    (tmp_path / "nothing.py").write_text("x = 1\n")
    with pytest.raises(ConfigError, match=r"holds 0 arms \(none\): derive a class from gaard\.methods\.Method, assign"):
        find_arm(str(tmp_path / "nothing.py"))


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        ([], "runs/league"),
        (["--short"], "runs/league-short"),
        (["--steps", "2"], "runs/league-2-steps"),
        (["--short", "--steps", "2"], "runs/league-short-2-steps"),
        (["--steps", "2", "--out", "here"], "here"),
    ],
)
def test_runs_of_other_lengths_have_a_folder_of_their_own(words, folder, monkeypatch):
    where = []
    monkeypatch.setattr("gaard.commands.league.carry_out", lambda study, out, *_: where.append(str(out)) or 0)
    assert cli.main(["league", "--arms", "fold", "--scenarios", "clean", *words]) == 0
    assert where == [folder]


@pytest.mark.slow
def test_a_method_of_one_file_goes_through_a_short_league(tmp_path, monkeypatch, capsys):
    """The method that docs/methods.md shows, by the command that docs/league.md shows, cut short."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cap.py").write_text(CAP)
    few = ["--scenarios", "puzzle24,puzzle24-uncompared", "--steps", "2", "--seeds", "1"]
    command = ["league", "--arms", "cap.py", "--short", *few]
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    assert "all scenarios, mean over seeds" in out
    assert "cut to 2 steps a run" in out
    results = json.loads((tmp_path / "runs/league-short-2-steps/results.json").read_text())
    assert {row["arm"] for row in results["standings"]} == {"ppo", HONEST, "cap"}
    assert all(row["hackable"] == 1 for row in results["standings"])
    assert cli.main(command) == 0  # takes up what is there
    (tmp_path / "cap.py").write_text(CAP.replace("2.0", "1.5"))
    assert cli.main(command) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert cli.main([*command, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--arms", "fould"], "'fould' is not known.*fold"),
        (["--scenarios", "cappd"], "cappd"),
        (["--scenarios", ","], "no scenarios"),
        (["--engine", "threads", "--short", "--arms", "fold"], "engine='threads'"),
    ],
)
def test_what_a_league_cannot_take_is_named(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["league", *words]) == 2
    assert re.search(message, capsys.readouterr().err)
