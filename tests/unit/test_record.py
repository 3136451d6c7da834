"""The record of studies: what its runs are, and that every table and figure of the docs is made from them."""

import re
from itertools import product

import polars as pl
import pytest
import yaml
from studies import figures, results
from studies.markdown import BETWEEN, filled, said, table

from gaard.lab.measures import OF_RUN
from gaard.lab.spec import build_trainer
from gaard.lab.study import read_study
from gaard.training.identity import fingerprint

STUDIES = sorted(path.parent for path in (results.ROOT / "studies").glob("*/study.yaml"))
RECORDED = [folder for folder in STUDIES if (folder / "runs.parquet").exists()]
LATER = {"27-without-a-critic"}  # since the settings of advantages have names: the same run has another id
# Studies of the algorithm as it is; those before it keep what they were.
AS_THEY_ARE = ("29-calculator", "30-overoptimisation", "31-mixtures", "32-length-bias", "35-league")
COLUMNS = ["id", "algorithm", "scenario", "arm", "seed", "error", *OF_RUN]
CLOCK = "seconds_per_step"
NAMES = {folder: folder.name for folder in STUDIES}


def record(folder):
    return pl.read_parquet(folder / "runs.parquet")


def stated(folder):
    return yaml.safe_load((folder / "study.yaml").read_text())


def test_there_is_a_record():
    assert len(RECORDED) >= 13
    assert sum(record(folder).height for folder in RECORDED) > 1900


@pytest.mark.parametrize("folder", STUDIES, ids=NAMES.get)
def test_a_study_states_itself_and_says_what_came_out(folder):
    study, page = stated(folder), (folder / "README.md").read_text(encoding="utf-8")
    assert set(study) <= {"summary", "scenarios", "arms", "seeds", "baseline", "settings"}
    assert f"gaard compare studies/{folder.name}/study.yaml --jobs 2" in page
    names = [arm if isinstance(arm, str) else arm["name"] for arm in study["arms"]]
    assert study["baseline"] in names
    assert len(set(names)) == len(names)
    if folder not in RECORDED:
        assert "no record" in page
    for scenario in study["scenarios"]:
        file = scenario.partition(":")[0]
        assert not file.endswith(".py") or (results.ROOT / file).is_file()


# The part of a study that stands in a file of its own.
FURTHER = {"29-calculator": "longer.yaml", "34-strengths": "learned.yaml"}


def planned(study):
    """The scenarios, arms and seeds of every run that a study has, the untrained model's too."""
    arms = [arm if isinstance(arm, str) else arm["name"] for arm in study["arms"]]
    seeds = range(study["seeds"]) if isinstance(study["seeds"], int) else study["seeds"]
    return set(product([name.rpartition(":")[2] for name in study["scenarios"]], [*arms, "untrained"], seeds))


@pytest.mark.parametrize("folder", RECORDED, ids=NAMES.get)
def test_every_row_of_a_record_is_a_run_of_its_study(folder):
    runs, parts = record(folder), [planned(stated(folder))]
    if folder.name in FURTHER:
        parts.append(planned(yaml.safe_load((folder / FURTHER[folder.name]).read_text())))
    assert runs.columns == COLUMNS
    assert runs["error"].is_null().all()
    assert runs["algorithm"].is_in([1, 2]).all()
    assert runs.select("scenario", "arm", "seed").is_unique().all()
    there = set(runs.select("scenario", "arm", "seed").rows())
    assert there <= set().union(*parts)
    page = (folder / "README.md").read_text(encoding="utf-8")
    for part in parts:
        assert {scenario for scenario, *_ in part} <= {scenario for scenario, *_ in there & part}
        missing = {arm for _, arm, _ in part} - {arm for _, arm, _ in there & part}
        assert all(f"`{arm}` has not been run" in page for arm in missing)


def disagreeing(runs):
    """Ids that stand for runs with different measures, or for different runs; a measure that was not taken is none."""
    measures = [name for name in OF_RUN if name != CLOCK]
    apart = [(pl.col(name).drop_nulls().n_unique() > 1) for name in (*measures, "scenario", "arm", "seed", "algorithm")]
    return runs.group_by("id").agg(pl.any_horizontal(apart).alias("differ")).filter("differ")["id"].to_list()


def test_two_rows_with_one_id_are_the_same_run():
    runs = pl.concat([record(folder) for folder in RECORDED])
    assert runs["id"].n_unique() < runs.height  # there are some
    assert not runs["id"].is_null().any()
    assert disagreeing(runs) == []
    # The check itself: the same id with another result, or for another arm, is seen.
    double = runs[:1].with_columns(true_reward=pl.lit(0.123))
    assert disagreeing(pl.concat([runs[:1], double])) == [runs["id"][0]]
    assert disagreeing(pl.concat([runs[:1], runs[:1].with_columns(arm=pl.lit("x"))])) == [runs["id"][0]]


def test_one_run_has_one_id():
    """A run that stands in several studies has the same measures there, and the same id."""
    trained = ~pl.col("arm").is_in(["untrained", "oracle"])  # where nothing can be exploited, the oracle is PPO
    runs = pl.concat([record(folder).with_columns(later=pl.lit(folder.name in LATER)) for folder in RECORDED])
    runs = runs.filter(trained)
    forms = pl.col("arm").is_in(["fold", "gaa-expected", "gaa-judge", "random-token", "sure"])
    forms |= pl.col("arm").str.contains("^(grpo|rloo)-")
    ours = pl.when(forms).then("arm").otherwise(pl.lit(""))  # PPO to the last bit where they find nothing
    figures = ("later", "scenario", "seed", "true_reward", "kl_untrained", "entropy")
    same = runs.group_by(*figures, ours).agg(pl.col("id").n_unique())
    assert same["id"].max() == 1


@pytest.mark.parametrize("name", AS_THEY_ARE)
def test_the_runs_of_a_record_are_those_that_its_scenarios_and_arms_make_today(name, tmp_path):
    """The baseline in every scenario, and every arm in one, at one seed. Another setting makes another id."""
    folder = results.ROOT / "studies" / name
    study = read_study(folder / "study.yaml")
    runs = record(folder).filter(pl.col("arm") != "untrained").sort("seed")
    first = runs["scenario"][0]
    ids = {(scenario, arm, seed): number for scenario, arm, seed, number in
           runs.unique(["scenario", "arm"], keep="first").select("scenario", "arm", "seed", "id").rows()
           if arm == study.baseline or scenario == first}  # fmt: skip
    assert {scenario for scenario, *_ in ids} == set(runs["scenario"])
    parts = [study, *(read_study(folder / file) for key, file in FURTHER.items() if key == name)]
    made = {(k.scenario, k.arm, k.seed): spec for part in parts for k, spec in part.specs(tmp_path).items()}
    for key, number in ids.items():
        assert fingerprint(build_trainer(made[key]).record()) == number, key


@pytest.mark.parametrize("folder", [folder for folder in STUDIES if (folder / "steps.parquet").exists()], ids=NAMES.get)
def test_curves_are_of_runs_of_the_record(folder):
    which = ["scenario", "arm", "seed"]
    curves = pl.read_parquet(folder / "steps.parquet").select(which).unique().cast({"seed": pl.Int64})
    runs = record(folder).filter(pl.col("arm") != "untrained")
    assert curves.join(runs, on=which, how="anti").height == 0


def test_every_table_of_the_docs_is_made_from_the_record():
    stale = [file.name for file, page, wanted in results.pages() if page != wanted]
    assert stale == [], "run make results"


def test_every_table_stands_on_a_page():
    shown = {name for _, page, _ in results.pages() for _, name, _ in BETWEEN.findall(page)}
    assert shown == set(results.TABLES)


@pytest.mark.parametrize("name", figures.FIGURES)
def test_every_figure_shows_the_record(name):
    drawn = figures.drawn_hash(results.ROOT / "docs" / "figures" / f"{name}.png")
    assert drawn == figures.content_hash(figures.FIGURES[name]()), "run make results"


def test_a_figure_that_shows_something_else_has_another_hash():
    figure = figures.coefficients()
    before = figures.content_hash(figure)
    figure.data[1].x = [0, 0, 2, 1]
    assert figures.content_hash(figure) != before


def test_no_line_is_too_long():
    studies, docs = results.ROOT / "studies", results.ROOT / "docs"
    pages = [*studies.rglob("*.md"), *studies.rglob("*.yaml"), docs / "results.md", docs / "protocol.md"]
    long = [line for page in pages for line in page.read_text(encoding="utf-8").splitlines() if len(line) > 120]
    assert [line for line in long if not line.startswith("|")] == []


def test_results_are_claims_and_link_their_studies():
    page = (results.ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert len(page.splitlines()) <= 150
    linked = set(re.findall(r"\.\./studies/([\w-]+)/", page))
    assert linked == {folder.name for folder in STUDIES} | {"33-sharpness"}  # which is measured, and no comparison


def test_numbers_in_tables():
    hacks = {"mean": 0.0123, "low": 0.0, "high": 0.04, "n": 3}
    assert said(hacks, "hack_rate") == "1.2% [0.0%, 4.0%]"
    assert said({**hacks, "mean": -0.25, "low": None, "high": None}, "hack_rate", signed=True) == "-25.0 points"
    assert said(hacks, "true_reward", ends=False) == "0.012"
    assert said(None, "true_reward") == "–"
    assert table(["arm", "kl-3"], [["par-1", "-0.5 [-1.0, 0.1]"]]).splitlines() == [
        "| arm | kl-3 |",
        "| --- | --- |",
        "| par-1 | −0.5 [−1.0, 0.1] |",
    ]


def test_a_table_goes_between_its_markers_and_an_unknown_one_is_refused():
    page = "a\n<!-- table: x -->\nold\n<!-- end -->\nb\n"
    assert filled(page, {"x": lambda: "new\n"}) == "a\n<!-- table: x -->\nnew\n<!-- end -->\nb\n"
    with pytest.raises(KeyError, match="x"):
        filled(page, {})


def test_the_command_writes_what_changed_and_nothing_else(tmp_path, monkeypatch, capsys):
    page = tmp_path / "README.md"
    page.write_text("<!-- table: cutoffs -->\nold\n<!-- end -->\n")
    (tmp_path / "other.md").write_text("no table")
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setattr(results.figures, "draw", lambda folder: iter(()))
    results.main()
    assert capsys.readouterr().out == "README.md\n"
    assert "hack rate of fold" in page.read_text()
    results.main()
    assert capsys.readouterr().out == ""


def test_a_figure_is_drawn_only_if_it_shows_something_else(tmp_path, monkeypatch):
    drawn = []

    def image(figure, **_):
        drawn.append(figure)
        return (results.ROOT / "docs" / "figures" / "coefficients.png").read_bytes()

    monkeypatch.setattr(figures.go.Figure, "to_image", image)
    monkeypatch.setattr(figures, "FIGURES", {"coefficients": figures.coefficients})
    assert [path.name for path in figures.draw(tmp_path)] == ["coefficients.png"]
    assert list(figures.draw(tmp_path)) == []
    assert len(drawn) == 1
