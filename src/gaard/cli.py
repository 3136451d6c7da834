"""The command line: ``gaard COMMAND`` imports :mod:`gaard.commands`' file of that name, and no other."""

import importlib
import os
import sys
from collections.abc import Sequence

from gaard.disclosure import redacted, visible
from gaard.errors import ConfigError, GaardError, Terminated, suggest
from gaard.extras import MissingExtra, need
from gaard.signals import terminable
from gaard.version import __version__

# Exit statuses; a shell gives the last three to SIGINT, SIGPIPE and SIGTERM.
MENDABLE, INTERRUPTED, UNREAD, TERMINATED = 2, 130, 141, 143
# Each says the same as SUMMARY in its file, so that the overview imports none.
COMMANDS = {
    "check": "look at rewards, prompts and settings before training",
    "train": "train a model on a reward: one run, its measures, and the model",
    "compare": "train arms × seeds, in one scenario or a study, and compare them: tables and a page",
    "league": "train arms in every scenario that needs no network, and rank them by true reward",
    "report": "make the page of a run or a comparison, also while it trains",
    "reproduce": "train a run again from its record, and compare",
    "find": "name what a run's reward pays for, without a detector",
    "sharpness": "measure how sharp a run's saved policies are, and what lies around them",
    "scenarios": "list the scenarios for studying reward hacking, or show one in full",
    "arms": "list the arms that compare knows by name",
    "models": "list the models that gaard knows by name, or fetch one",
    "coefficients": "draw the weights a and b of the method gaa, as a page",
}
OF_LAB = {"compare", "league", "report", "coefficients"}  # the commands that need the extra lab; the others need train
# After a command was stopped, where that is not what training does.
GOES_ON = {
    "sharpness": "the measure in hand is lost, those before it are kept, and without --overwrite the same command goes "
    "on with it"
}
FIRST_STEPS = """to begin with
  gaard compare --scenario capped --arms ppo,gaa-expected --seeds 3 --jobs 2
      a reward that is hacked, and a safeguard: 4 minutes on 2 cores, without a network
  gaard train --model org/model --prompts prompts.txt --reward_funcs reward.py:score --output_dir runs/mine
      your own model and reward

gaard COMMAND --help tells what a command takes"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments; by default the process's.

    Returns:
        Exit status: 0; 1 if some runs of a comparison failed; 2 for a mistake that can be mended; 130 after Ctrl-C, 143
        after SIGTERM.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        if words and words[0] in COMMANDS:
            need("lab" if words[0] in OF_LAB else "train", f"gaard {words[0]}")
            with terminable():
                status: int = importlib.import_module(f"gaard.commands.{words[0]}").main(words[1:])
        else:
            status = _overview(words)
        sys.stdout.flush()
        return status
    except GaardError as error:
        print(f"gaard: {visible(redacted(str(error)))}", file=sys.stderr)
        return MENDABLE
    except BrokenPipeError:  # `gaard … | head`: who reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except OSError as error:
        if error.filename is None:
            raise
        print(
            f"gaard: {visible(str(error.filename))}: {error.strerror}: check the path and the free space",
            file=sys.stderr,
        )
        return MENDABLE
    except (KeyboardInterrupt, Terminated) as ended:
        what, status = ("terminated", TERMINATED) if isinstance(ended, Terminated) else ("interrupted", INTERRUPTED)
        how = "without --overwrite the same command goes on from the last checkpoint"
        print(f"gaard: {what}; {GOES_ON.get(words[0], how) if words else how}", file=sys.stderr)
        return status


def _overview(words: list[str]) -> int:
    """``gaard``, ``gaard --help``, ``gaard --version``, or a command that does not exist."""
    if words and words[0] == "--version":
        print(f"gaard {__version__}")
        return 0
    if words and words[0] not in ("-h", "--help"):
        raise ConfigError(f"command {words[0]!r} is not known: {suggest(words[0], COMMANDS, '`gaard --help`')}")
    width = max(map(len, COMMANDS)) + 2
    print(f"gaard {__version__}: reinforcement learning of language models that keeps away from reward hacking\n")
    print("usage: gaard COMMAND [OPTIONS]\n")
    print("\n".join(f"  {name:<{width}}{summary}" for name, summary in COMMANDS.items()))
    if missing := _missing():
        print(f"\n{missing}")
    print(f"\n{FIRST_STEPS}")
    return 0


def _missing() -> str | None:
    """Which commands cannot run here, and what brings them all."""
    for extra, who in (("train", "every command needs"), ("lab", "compare, league, report and coefficients need")):
        try:
            need(extra, "gaard")
        except MissingExtra:
            return f"{who} packages that are not installed: pip install 'gaard[lab]'"
    return None
