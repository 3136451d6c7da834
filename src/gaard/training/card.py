"""The model card: what a saved model is, in a ``README.md`` for a stranger, with the header that the hub reads."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

from gaard.disclosure import redacted, visible
from gaard.errors import ModelError
from gaard.messages import shortened
from gaard.models.aliases import ALIASES

README = "README.md"
MARK = "<!-- gaard writes this file anew with each save; without this line it leaves it alone -->"
UNKNOWN = "–"
LONGEST = 400  # characters of a value
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
MEASURES = {  # what a row is called → its key in the metrics of a step, in the measures at the end; whether a share
    "hack rate": ("hack_rate", "hack_rate", True),
    "mean true reward": ("true_reward", "true_reward", False),
    "mean proxy reward": ("reward", "proxy_reward", False),
    "KL to the reference, nats a token": ("kl_ref", None, False),
    "KL to the untrained model, nats a token": (None, "kl_untrained", False),
    "entropy, nats a token": ("entropy", "entropy", False),
    "length, tokens": ("completion_length", "completion_length", False),
}


@dataclass(frozen=True)
class Known:
    """What a card tells.

    Attributes:
        record: Of the run, as ``run.json`` has it.
        step: Steps done.
        last: The metrics of the last one; empty if they are not known.
        measures: Those on fresh completions; empty if none were taken.
        alarms: What was alarming, a sentence each; None if nobody watched.
        adapter: Whether the model is an adapter alone.
    """

    record: Mapping[str, Any]
    step: int
    last: Mapping[str, float]
    measures: Mapping[str, float]
    alarms: Sequence[str] | None
    adapter: bool


def write_card(folder: Path, text: str) -> None:
    """Write a card, unless there is a ``README.md`` that gaard did not write.

    Args:
        folder: Of the saved model.
        text: The card.

    Raises:
        ModelError: If the disk does not take it.
    """
    path = folder / README
    try:
        if path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
            return
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ModelError(
            f"the model card {path} could not be written: {error.strerror or error}. The model beside it is whole: "
            "free some space, and save again"
        ) from error


def model_card(known: Known) -> str:
    """The text of a model card.

    Args:
        known: What it tells; what is not known is "–".

    Returns:
        Markdown below a YAML header.
    """
    config = known.record["config"]
    base, method = _base(config), config["method"]["name"]
    kind = "An adapter of" if known.adapter else "A causal language model, made from"
    return f"""\
---
{_header(config, method, known.adapter).to_yaml()}
---
{MARK}

# {_cell(Path(base).name)}, trained with {method}

{kind} `{_cell(base)}` by reinforcement learning on a reward, with the method `{method}` of gaard.

## How to load it

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

name = "this/model"  # the folder that holds it, or its name on the hub
model = AutoModelForCausalLM.from_pretrained(name){"  # needs peft, and fetches the model below" * known.adapter}
tokenizer = AutoTokenizer.from_pretrained(name)
```

## How it was trained

{_table(("what", "value"), _training(known))}

## What was measured

{_table(("measure", *_headings(known)), _measured(known))}

{UNKNOWN} is not known. A hack rate tells the hacks that the detector above knows, and no others.

## Alarms

{_alarms(known.alarms)}
"""


def _header(config: Mapping[str, Any], method: str, adapter: bool) -> ModelCardData:
    """What the hub reads."""
    base = _base(config)
    prompts = str(config.get("prompts") or "").partition(":")[0]
    return ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        base_model=base if _on_hub(base) else None,
        base_model_relation=("adapter" if adapter else "finetune") if _on_hub(base) else None,
        datasets=[prompts] if _on_hub(prompts) else None,
        tags=["gaard", "reinforcement-learning", method, *(["peft"] if adapter else [])],
    )


def _base(config: Mapping[str, Any]) -> str:
    """The model that was trained: its name on the hub, or of its folder without the way there."""
    name = str(config["model"] or "")
    if name in ALIASES:
        return ALIASES[name].hub_id
    return (Path(name).name if Path(name).exists() else name) or UNKNOWN


def _on_hub(name: str) -> bool:
    """Whether it may be the name of something on the hub."""
    return bool(HUB_ID.fullmatch(name)) and not Path(name).exists()


def _training(known: Known) -> list[tuple[str, str]]:
    """What was trained on what, by what."""
    config, rewards, code = known.record["config"], known.record["rewards"], known.record["code"]
    prompts = config.get("prompts")
    named = [Path(prompts).name if Path(prompts).exists() else prompts] if prompts and isinstance(prompts, str) else []
    rows = {
        "base model": _base(config),
        "scenario": config.get("scenario"),
        "method": _named(config["method"]),
        "advantages": _named(config["advantages"]),
        "regularizers": "; ".join(map(_named, config["regularizers"])) or "none",
        "rewards": rewards["proxy"],
        "true reward": rewards["true"],
        "honeypots": "; ".join(rewards["exploitable"]) or None,
        "hack detector": _detector(rewards),
        "data set": ", ".join([*named, known.record["prompts"]]),
        "steps": f"{known.step} of {config['max_steps']}, each of {config['batch_size']} completions",
        "learning rate, KL coefficient": f"{config['learning_rate']:g}, {config['kl_coef']:g}",
        "seed": config["seed"],
        "gaard": _version(code),
        "torch, transformers": f"{code['torch']}, {code['transformers']}",
        "date": code["date"],
    }
    return [(what, UNKNOWN if value is None else _cell(value)) for what, value in rows.items()]


def _named(options: Mapping[str, Any]) -> str:
    """A method, estimator or regulariser, with those of its options that are set."""
    given = [f"{key} {value}" for key, value in options.items() if key not in ("name", "code") and value is not None]
    return f"{options['name']} ({', '.join(given)})" if given else str(options["name"])


def _detector(rewards: Mapping[str, Any]) -> str | None:
    """What tells a hack."""
    own = rewards["functions"].get("detector")
    if own is not None:
        return own if isinstance(own, str) else "a function of the run's own"
    return "that of the honeypots" if rewards["exploitable"] else None


def _version(code: Mapping[str, Any]) -> str:
    """Gaard's version, and the commit where it is known."""
    commit = f", commit {code['commit'][:12]}{' with changes' * code['dirty']}" if "commit" in code else ""
    return f"{code['gaard']}{commit}"


def _headings(known: Known) -> tuple[str, str]:
    """Of the columns of measures, with how many completions they are of."""
    config = known.record["config"]
    size = config["batch_size"]
    fresh = f" ({-(-config['eval_completions'] // size) * size} fresh completions)" if known.measures else ""
    return f"last step ({size} completions)" if known.last else "last step", f"after training{fresh}"


def _measured(known: Known) -> list[tuple[str, str, str]]:
    """A row a measure."""
    return [
        (name, _number(known.last, of_step, share), _number(known.measures, of_run, share))
        for name, (of_step, of_run, share) in MEASURES.items()
    ]


def _number(numbers: Mapping[str, float], key: str | None, share: bool) -> str:
    """A number as a table has it; a dash where it is not known."""
    number = None if key is None else numbers.get(key)
    if number is None or number != number:
        return UNKNOWN
    return f"{number:.1%}" if share else f"{number:.3f}"


def _alarms(alarms: Sequence[str] | None) -> str:
    """A line an alarm."""
    if alarms is None:
        return f"{UNKNOWN} (nothing watched the run, or there were too few texts to tell)"
    return "\n".join(f"- {_cell(alarm)}" for alarm in alarms) or "None."


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    """A value as text of one line that breaks no table and is no markup."""
    text = visible(redacted(" ".join(str(value).split())))
    text = text if len(text) <= LONGEST else shortened(text, LONGEST)
    return text.replace("|", "\\|").replace("<", "&lt;")
