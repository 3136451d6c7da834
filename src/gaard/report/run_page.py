"""The page of one run, made from its folder, finished or while it trains."""

from gaard.lab.frontier import SMOOTHING
from gaard.lab.measures import OF_RUN, OF_STEP, on_page
from gaard.lab.study import OWN_SCENARIO, RunKey
from gaard.report.charts import run_panel
from gaard.report.document import Document, Section, drawn, panel_title
from gaard.report.facts import run_facts
from gaard.report.landscape import landscape_section
from gaard.report.measures_table import run_table
from gaard.report.parting import FEWEST_STEPS, SECOND, second_reward
from gaard.report.run_files import STOPPED, RunFiles
from gaard.report.suspects import find_suspects
from gaard.report.texts import browsable

IN_WORDS = ("hack_rate", "true_reward", "judge_reward", "proxy_reward")  # what the first sentence is of
NOTES = (
    f"Curves are of the training's own rollouts: a step's value faint, the running mean over {SMOOTHING} steps strong. "
    "The table is of fresh completions at the end, as gaard train takes them; from Python, trainer.evaluated() does."
)


def run_document(run: RunFiles, name: str, refresh: float | None) -> Document:
    """What the page shows of a run.

    Args:
        run: The run's files.
        name: Its title.
        refresh: Seconds until the page loads itself again; None for never.

    Returns:
        The document.
    """
    texts, part = browsable([run])
    found = find_suspects(run)
    section = Section("Training")
    section.add_table(run_table(run.measures, run.key.arm))
    for measure in on_page(OF_STEP):
        figure = run_panel(run.metrics, measure)
        if figure is not None:
            plot = drawn(figure, seeds=[], scenario=run.key.scenario, measure=measure.name)
            section.add_panel(f"chart-{measure.name}", panel_title(measure), plot)
    return Document(
        name=name,
        summary=_which(run.key),
        verdict=run_verdict(run),
        alarms=[*([run.parting.in_words()] if run.parting else []), *([found.alarm] if found.alarm else [])],
        status=_status(run),
        sections=[section, *([around] if (around := landscape_section(run)) else [])],
        suspects=found.section(),
        texts=texts,
        part=part,
        facts=run_facts(run),
        notes=NOTES,
        refresh=refresh,
    )


def _which(key: RunKey) -> str:
    """Arm, scenario and seed; a run of one's own is in none."""
    scenario = "" if key.scenario == OWN_SCENARIO else f" in {key.scenario}"
    return f"{key.arm}{scenario}, seed {key.seed}"


def run_verdict(run: RunFiles) -> list[str]:
    """What a run warned of, what can be said of it, and what cannot because nobody declared it.

    Args:
        run: The run.

    Returns:
        Sentences.
    """
    sentences = [f"Warning at step {row['step']}: {row['warning'].rstrip('.')}." for row in run.warnings]
    if not run.metrics:
        return [*sentences, "No step is done yet."]
    known = run.metrics[-1].keys() | run.measures.keys()
    if run.measures:
        figures = [
            f"{OF_RUN[key].label} {OF_RUN[key].text(run.measures[key])}" for key in IN_WORDS if key in run.measures
        ]
        sentences.append(f"After training: {', '.join(figures)}.")
    elif "hack_rate" in run.metrics[-1]:
        sentences.append(f"In the last step {run.metrics[-1]['hack_rate']:.0%} of the texts are hacks.")
    if "hack_rate" not in known:
        sentences.append("Nothing was declared to be a hack: how often the reward is hacked is not known.")
    other = second_reward(run.metrics)
    if other is None:
        sentences.append("No true reward was declared: whether the proxy pays for what was meant, only the texts tell.")
    elif len(run.metrics) < FEWEST_STEPS:
        early = f"It is too early to say whether proxy and {SECOND[other]} part: nothing is said before step"
        sentences.append(f"{early} {FEWEST_STEPS}.")
    elif run.parting is None:
        sentences.append(f"The {SECOND[other]} has not fallen away from the proxy so far, which alone proves nothing.")
    return sentences


def _status(run: RunFiles) -> str:
    """How far it is, and when its last step was logged."""
    written = f", the last one logged at {run.last_written}" if run.last_written else ""
    done = f"{len(run.metrics)} of {run.config.get('max_steps', '–')} steps done{written}."
    if run.stopped:
        return f"Stopped: {done} {STOPPED}"
    return f"Finished: {done}" if run.finished else done
