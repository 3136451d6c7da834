"""Pages opened in a browser as people open them, for tests of pages."""

import time

from playwright.sync_api import expect

FLAGS = ("--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update")


class Opened:
    """A page, what it complained of, and what it asked the network for."""

    def __init__(self, browser, path, width=1280, **options):
        self.page = browser.new_page(viewport={"width": width, "height": 900}, **options)
        self.complaints, self.requests = [], []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("request", lambda request: self.requests.append(request.url))
        began = time.perf_counter()
        self.page.goto(path.as_uri())
        expect(self.page.locator("#verdict")).to_be_visible()
        expect(self.page.locator("#cards li").first).to_be_attached()
        self.page.locator(".chart").first.scroll_into_view_if_needed()
        expect(self.page.locator(".chart svg.main-svg").first).to_be_attached()
        self.seconds = time.perf_counter() - began


def channels(colour):
    return [float(x) for x in colour[colour.index("(") + 1 :].rstrip(")").split(",")]


def laid_over(shade, paper):
    """A colour that lets some of the paper through."""
    *rgb, alpha = channels(shade) if shade.startswith("rgba") else [*channels(shade), 1.0]
    mixed = [alpha * x + (1 - alpha) * y for x, y in zip(rgb, channels(paper), strict=False)]
    return f"rgb({', '.join(map(str, mixed))})"


def contrast(one, other):
    """WCAG 2.1's ratio of two colours."""

    def luminance(colour):
        shares = [x / 255 for x in channels(colour)[:3]]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
