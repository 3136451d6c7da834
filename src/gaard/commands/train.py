"""``gaard train``: one run, its measures, and the trained model."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from gaard.arguments import add_settings, asks_for_all, check_options, given_settings, plain_parser
from gaard.commands.terminal import show
from gaard.errors import ConfigError

SUMMARY = "train a model on a reward: one run, its measures, and the model"
EXAMPLES = """examples:
  gaard train --scenario capped --output_dir runs/first
  gaard train --model org/model --prompts prompts.txt --reward_funcs reward.py:score --output_dir runs/mine

gaard train --help all lists every option. gaard scenarios, gaard models list and gaard arms list names."""


def main(words: list[str]) -> int:
    """Train one run.

    Args:
        words: Behind ``gaard train``.

    Returns:
        0.

    Raises:
        GaardError: For a mistake that can be mended.
    """
    about = "Train one run; the same command goes on with an unfinished one."
    parser = add_settings(plain_parser("train", about, "[--OPTION VALUE ...]", EXAMPLES), asks_for_all(words))
    check_options(words, ())
    settings = _with_output_dir(given_settings(parser.parse_args(words)))
    from gaard.lab.spec import RunSpec, build_trainer, check_given
    from gaard.training.lock import alone_in

    check_given(settings)
    if settings.get("scenario"):
        from gaard.lab.scenarios import with_scenario

        settings = with_scenario(settings)
    spec = RunSpec(**settings)
    trainer = build_trainer(spec)
    main = trainer.accelerator.is_main_process
    folder, saved = Path(spec.output_dir), trainer.model_folder
    if spec.push_to_hub and main:
        from gaard.training.hub import make_repository

        make_repository(spec.repository, spec.hub_private_repo)  # refused now, not after hours of training
    # In between too: who looks at the folder would take the run for done before it is measured.
    with alone_in(folder, "output_dir") if main else nullcontext():
        trainer.train()
        trainer.save_model(saved)
        measures = trainer.evaluated() if spec.eval_completions else {}
        trainer.save_card(saved, _alarms(folder) if main else None)
    if main and measures:
        from gaard.report.tables import measures_table

        show(measures_table(f"{spec.method.name}, seed {spec.seed}", measures))
    if main:
        # print: Rich would break a long path at the terminal's edge, and read brackets in it as markup.
        print(f"model: {saved}   metrics: {folder / 'metrics.jsonl'}   texts: {folder / 'samples.jsonl'}")
    if spec.push_to_hub:  # last: if it fails, all else is there
        address = trainer.upload_saved(saved, spec.repository, private=spec.hub_private_repo)
        if main:
            print(f"on the hub: {address}")
    return 0


def _alarms(folder: Path) -> list[str] | None:
    """What `gaard find` finds alarming in the run; None where it cannot tell."""
    from gaard.finder import read_texts, search
    from gaard.finder.words import claim

    try:
        found, comparable = search(read_texts(folder))
    except ConfigError:  # no texts were kept
        return None
    alarming = claim(found)
    return [alarming] if alarming else [] if comparable else None


def _with_output_dir(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings that say where the run goes."""
    if settings.get("output_dir") is None:
        raise ConfigError("output_dir is missing: say where the run goes, such as --output_dir runs/mine")
    return settings
