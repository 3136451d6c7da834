"""One of two processes of a run: ``run_with_peer.py FOLDER WHAT``, where rank 1 dies or gets a signal in step 3."""

import os
import signal
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

from small import made  # noqa: E402

from gaard.errors import GaardError  # noqa: E402

folder, number = Path(sys.argv[1]), getattr(signal, sys.argv[2], None)


def event(texts):
    """At rank 1 alone."""
    if number and os.environ["RANK"] == "1":
        os.kill(os.getpid(), number)


trainer = made(folder, 3, event, eval_steps=None, save_steps=10)
try:
    trainer.train()
except GaardError as error:
    sys.exit(f"gaard: {error}")
