"""Chromium, and a study's page in it."""

import os
import shutil

import pytest
from playwright.sync_api import sync_playwright

from browsing import FLAGS, Opened
from fabricated import fabricate
from gaard.report.page import write_page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser():
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.fail("these tests open pages in Chromium: install it (Debian: apt install chromium), or set CHROMIUM")
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=[*FLAGS, *root])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    folder = fabricate(
        tmp_path_factory.mktemp("study"), scenarios=("capped", "clean"), arms=("ppo", "fold", "gaa-text"), seeds=3
    )
    return folder, write_page(folder)


@pytest.fixture
def opened(browser, made_up):
    found = Opened(browser, made_up[1])
    yield found
    assert not found.complaints
    assert [url for url in found.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    found.page.close()
