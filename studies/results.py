"""Every table and figure of the docs from the record: `make results`, or `python -m studies.results`.

A table stands in a page between `<!-- table: NAME -->` and `<!-- end -->`. A figure is drawn anew where what it shows
has changed.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks import markdown as bench

from gaard.lab import measures
from studies import (
    expected,
    figures,
    finds,
    in_trl,
    johnson,
    leagues,
    limits,
    memory,
    overoptimised,
    overoptimised_arms,
    sharp,
    sharp_leads,
    sharp_pull,
    strengths,
    tables,
    trials,
    warned,
)
from studies.frames import index, outcomes
from studies.markdown import Table, filled

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("*.md", "docs/*.md", "studies/README.md", "studies/*/README.md")

LARGER = ("hack_rate", "true_reward", "entropy", "kl_untrained", "seconds_per_step")

TABLES: dict[str, Table] = {
    "measures-step": lambda: measures.markdown(measures.OF_STEP.values()),
    "measures-run": lambda: measures.markdown(measures.OF_RUN.values()),
    "measures-token": lambda: measures.markdown(measures.OF_TOKEN.values()),
    "bench": bench.markdown,
    "studies": index,
    "readme": leagues.readme,
    "in-short": expected.in_short,
    "outcomes": partial(outcomes, "01-main", "ppo"),
    "cutoffs": tables.cutoffs,
    "equal-kl-capped": partial(tables.equal_kl, "capped"),
    "equal-kl-uncapped": partial(tables.equal_kl, "uncapped"),
    "equal-steps": tables.equal_steps,
    "as-good": tables.as_good,
    "baselines": tables.baselines,
    "against-fold": tables.against_fold,
    "narrow": tables.narrow,
    "tuning": tables.strengths,
    "untuned-hacked": limits.untuned_hacked,
    "untuned-reward": limits.untuned_reward,
    "turned": limits.turned,
    "strengths": limits.untuned_strengths,
    "published": partial(johnson.published, "06-published"),
    "published-kl": partial(johnson.published, "07-published-kl"),
    "published-rates": partial(johnson.each_run, "08-published-rates"),
    "published-pilot": partial(johnson.each_run, "09-published-pilot", score=False),
    "sizes": partial(outcomes, "10-sizes", "ppo"),
    "sparse": partial(outcomes, "11-sparse", "ppo"),
    "smollm2": partial(outcomes, "12-smollm2", "ppo", LARGER),
    "ablations": partial(johnson.each_run, "13-gaa-ablations", score=False),
    "at-the-hack": johnson.at_the_hack,
    "ordinary": limits.ordinary,
    "cutoffs-expected": expected.cutoffs,
    "outcomes-expected": partial(expected.outcomes, expected.MAIN),
    "honeypots-again": partial(expected.outcomes, expected.HONEYPOTS_AGAIN),
    "smollm2-again": partial(expected.outcomes, expected.LARGER, (*expected.FIGURES, "seconds_per_step")),
    "smollm2-strength": partial(expected.outcomes, "28-smollm2-strength"),
    "controls": partial(expected.outcomes, "20-controls"),
    "trusted-judge": partial(expected.outcomes, "24-trusted-judge"),
    "sizes-again": partial(expected.outcomes, "23-sizes-again"),
    "without-a-critic": partial(expected.outcomes, expected.WITHOUT_A_CRITIC),
    "without-a-critic-short": expected.without_a_critic,
    "calculator": partial(expected.outcomes, "29-calculator"),
    "mixtures": partial(expected.outcomes, "31-mixtures"),
    "length-bias": partial(expected.outcomes, "32-length-bias"),
    "which-method": expected.which_method,
    "at-the-hack-expected": expected.at_the_hack,
    "trials": trials.trials,
    "finds": finds.finds,
    "in-trl": in_trl.in_trl,
    "warned": warned.warned,
    "warned-by-rule": warned.by_rule,
    "memory": memory.peaks,
    "memory-parts": memory.parts,
    "memory-measured": memory.measured,
    "overoptimised": overoptimised.turning,
    "overoptimised-fits": overoptimised.fits,
    "overoptimised-family": overoptimised.family,
    "overoptimised-arms": overoptimised_arms.turning,
    "opponents-strengths": strengths.strengths,
    "league": leagues.league,
    "league-where": leagues.where,
    "league-judged": leagues.judged,
    "sharp-lines": partial(sharp.recorded, "measured", partial(sharp.by_policy, columns=sharp.COLUMNS)),
    "sharp-published": partial(sharp.recorded, "measured", partial(sharp.by_policy, columns=sharp.PUBLISHED)),
    "sharp-against": partial(sharp.recorded, "measured", partial(sharp.against_hacked, columns=sharp.FELL)),
    "sharp-lost": partial(sharp.recorded, "lines", sharp.losses),
    "sharp-curved": partial(sharp.recorded, "measured", partial(sharp.against_hacked, columns=sharp.CURVED)),
    **{
        f"sharp-{function}-{place.replace(' ', '-')}": partial(
            sharp.recorded, "measured", partial(sharp.by_arm, place=place, function=function)
        )
        for function in ("reward", "kl")
        for place in sharp.PLACES
    },
    "sharp-pull": partial(sharp.recorded, "pull", sharp_pull.pulls),
    "sharp-windows": partial(sharp.recorded, "steps", sharp_leads.windows),
    **{
        f"sharp-leads-{arm}": partial(sharp.recorded, "steps", partial(sharp_leads.leads, arm=arm))
        for arm in ("ppo", "gaa-text")
    },
    "reach": partial(outcomes, "15-reach", None),
}


def pages() -> Iterator[tuple[Path, str, str]]:
    """Each page with tables: its file, what it is, and what it should be."""
    for pattern in PAGES:
        for file in sorted(ROOT.glob(pattern)):
            page = file.read_text(encoding="utf-8")
            yield file, page, filled(page, TABLES)


def main() -> None:
    """Write what has changed, and say what that is."""
    for file, page, wanted in pages():
        if page != wanted:
            file.write_text(wanted, encoding="utf-8")
            print(file.relative_to(ROOT))
    for file in figures.draw(ROOT / "docs" / "figures"):
        print(file.relative_to(ROOT))


if __name__ == "__main__":
    main()
