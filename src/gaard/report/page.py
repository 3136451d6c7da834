"""Pages: one file that needs no network, made from the folder of a study or of a run, finished or not."""

import contextlib
import time
from pathlib import Path

from gaard.errors import ConfigError
from gaard.lab.compare import RESULTS
from gaard.report.document import Document
from gaard.report.run_files import RunFiles, read_run_files
from gaard.report.run_page import run_document
from gaard.report.study_files import StudyFiles, read_study_files
from gaard.report.study_page import study_document
from gaard.report.surfaces import coefficient_surfaces
from gaard.training.checkpoint import write_file
from gaard.training.runlog import RUN

PAGE = "report.html"
COEFFICIENTS = "coefficients.html"
EVERY = 5.0  # seconds between two writings of a page that is watched
PATIENCE = 10  # a page that takes long to write is written less often: this many times as long


def write_page(folder: Path, refresh: float | None = None) -> Path:
    """Make ``report.html`` from what there is of a study or a run.

    Args:
        folder: Of the study or the run.
        refresh: Seconds after which the page loads itself again, as long as there is more to come.

    Returns:
        The file.

    Raises:
        ConfigError: If the folder holds neither.
    """
    path, found = folder / PAGE, _read(folder)
    write_file(path, _document(found, folder.resolve().name, None if found.finished else refresh).html())
    return path


def watch_page(folder: Path, every: float = EVERY) -> Path:
    """Write the page again and again until nothing more is to come, or somebody interrupts.

    The last page does not load itself again.

    Args:
        folder: Of the study or the run.
        every: Seconds between two writings, at least.

    Returns:
        The file.

    Raises:
        ConfigError: If the folder holds neither.
    """
    pause = every
    with contextlib.suppress(KeyboardInterrupt):
        while not _read(folder).finished:
            began = time.monotonic()
            write_page(folder, refresh=pause)
            pause = max(every, PATIENCE * (time.monotonic() - began))
            time.sleep(pause)
    return write_page(folder)


def _read(folder: Path) -> StudyFiles | RunFiles:
    """The study or the run that a folder holds."""
    if (folder / RESULTS).exists():
        return read_study_files(folder)
    if (folder / RUN).exists():
        return read_run_files(folder)
    raise ConfigError(
        f"{folder} holds no {RESULTS} and no {RUN}: name the folder of a study, such as the --out of gaard compare, or "
        "of a run, its output_dir"
    )


def _document(found: StudyFiles | RunFiles, name: str, refresh: float | None) -> Document:
    """What the page shows of it."""
    if isinstance(found, StudyFiles):
        return study_document(found, name, refresh)
    return run_document(found, name, refresh)


def write_coefficients(folder: Path) -> Path:
    """The surfaces of G7 and G8 as one page that needs no network.

    Args:
        folder: Made if it is not there.

    Returns:
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / COEFFICIENTS
    coefficient_surfaces().write_html(path, include_plotlyjs=True)
    return path
