"""Pages: one file that needs no network, made from the folder of a study or of a run, finished or not."""

import contextlib
import os
import time
from pathlib import Path

from gaard.errors import CheckpointError, ConfigError
from gaard.lab.summary import RESULTS
from gaard.report.document import Document
from gaard.report.run_files import RunFiles, read_run_files
from gaard.report.run_page import run_document
from gaard.report.study_files import StudyFiles, read_study_files
from gaard.report.study_page import study_document
from gaard.report.surfaces import coefficient_surfaces
from gaard.training.checkpoint import write_file
from gaard.training.damage import shown
from gaard.training.runlog import RUN

PAGE = "report.html"
COEFFICIENTS = "coefficients.html"
EVERY = 5.0  # seconds between two writings of a page that is watched
PATIENCE = 10  # a page that takes long to write is written less often: this many times as long


def write_page(folder: Path, refresh: float | None = None, path: Path | None = None) -> Path:
    """Make the page of what there is of a study or a run.

    Args:
        folder: Of the study or the run.
        refresh: Seconds after which the page loads itself again, as long as there is more to come.
        path: The page; ``report.html`` in the folder by default.

    Returns:
        The file.

    Raises:
        ConfigError: If the folder holds neither, or the file cannot be written.
    """
    with shown(folder):
        _write(_read(folder), folder, path or folder / PAGE, refresh)
    return path or folder / PAGE


def _write(found: StudyFiles | RunFiles, folder: Path, path: Path, refresh: float | None) -> None:
    """The page of what was read; it loads itself again as long as somebody works on that."""
    more = not (found.finished or found.stopped)
    document = _document(found, folder.resolve().name, refresh if more else None)
    if path.resolve().parent != folder.resolve():
        document.root = os.path.relpath(folder.resolve(), path.resolve().parent) + "/"
    try:
        write_file(path, document.html())
    except CheckpointError as error:
        why = error.__cause__.strerror if isinstance(error.__cause__, OSError) else error
        raise ConfigError(
            f"the page {path} cannot be written: {why}. Choose another file: gaard report {folder} --out FILE"
        ) from error


def watch_page(folder: Path, every: float = EVERY, path: Path | None = None) -> str:
    """Write the page again and again until nothing more is to come, or somebody interrupts.

    The last page does not load itself again.

    Args:
        folder: Of the study or the run.
        every: Seconds between two writings, at least.
        path: As for :func:`write_page`.

    Returns:
        How far the study or the run is: finished, or stopped after so many steps.

    Raises:
        ConfigError: As :func:`write_page`.
    """
    pause, path = every, path or folder / PAGE
    with contextlib.suppress(KeyboardInterrupt):
        while not ((found := _read(folder)).finished or found.stopped):
            began = time.monotonic()
            _write(found, folder, path, pause)
            pause = max(every, PATIENCE * (time.monotonic() - began))
            time.sleep(pause)
    found = _read(folder)
    _write(found, folder, path, None)
    return found.progress


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
