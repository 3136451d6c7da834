"""Pages opened in a browser as people open them, for tests of pages."""

from playwright.sync_api import expect

FLAGS = ("--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update")


class Opened:
    """A page, what it complained of, and what it asked the network for."""

    def __init__(self, browser, path, width=1280, clock=False, **options):
        self.page = browser.new_page(viewport={"width": width, "height": 900}, **options)
        if clock:  # which a test can move
            self.page.clock.install()
        session = self.page.context.new_cdp_session(self.page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        self.complaints, self.requests = [], []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        expect(self.page.locator("#verdict")).to_be_visible()
        expect(self.page.locator("#cards li").first).to_be_attached()
        self.page.locator(".chart").first.scroll_into_view_if_needed()
        expect(self.page.locator(".chart svg.main-svg").first).to_be_attached()
        # Of work: how long the page waits for other programs of the machine is not its doing.
        measured = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
        self.seconds = measured["TaskDuration"]
        session.detach()


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


# Every piece of text that can be seen, as [text, left, top, right, bottom], in the page's coordinates.
TEXT_BOXES = """(root) => {
    const found = [];
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const parent = node.parentElement;
        if (!node.textContent.trim() || parent.closest("script, style, option, noscript, .skip")) continue;
        if (!parent.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
        const range = document.createRange();
        range.selectNodeContents(node);
        for (const box of range.getClientRects()) {
            if (box.width < 1 || box.height < 1) continue;
            const text = node.textContent.trim().slice(0, 40);
            found.push([text, box.left, box.top + scrollY, box.right, box.bottom + scrollY]);
        }
    }
    return found;
}"""
CUT_OFF = """() => [...document.querySelectorAll("body *")].filter((element) => {
    if (element.closest("svg, #tip, .skip") || !element.checkVisibility()) return false;
    const style = getComputedStyle(element);
    return element.scrollWidth > element.clientWidth + 1 && style.display !== "inline" && style.overflowX !== "visible"
        && !["INPUT", "SELECT"].includes(element.tagName);
}).map((element) => `${element.tagName} ${element.id} ${element.className}`)"""
# Text of a chart beyond its drawing, which would cut it off.
BEYOND = """() => [...document.querySelectorAll(".chart svg text")].filter((text) => {
    const [box, around] = [text.getBoundingClientRect(), text.closest(".chart").getBoundingClientRect()];
    return box.width > 0 && (box.left < around.left - 1 || box.right > around.right + 1 || box.top < around.top - 1
        || box.bottom > around.bottom + 1);
}).map((text) => text.textContent)"""
SLACK = 2.0  # pixels by which boxes of neighbouring lines may touch: they have room for accents


def overprinted(boxes):
    """Pairs of texts whose boxes overlap by more than some pixels each way."""
    pairs = []
    ordered = sorted(boxes, key=lambda box: box[2])
    for i, (text, left, _, right, bottom) in enumerate(ordered):
        for other, other_left, other_top, other_right, other_bottom in ordered[i + 1 :]:
            if other_top >= bottom - SLACK:
                break
            wide = min(right, other_right) - max(left, other_left)
            high = min(bottom, other_bottom) - other_top
            if wide > SLACK and high > SLACK + 2:
                pairs.append((text, other))
    return pairs


def draw_all(page):
    """Scroll through a page, so that all its charts are there."""
    for chart in page.locator(".chart").all():
        chart.scroll_into_view_if_needed()
        expect(chart.locator("svg.main-svg").first).to_be_attached()
    page.evaluate("window.scrollTo(0, 0)")


def layout_faults(page, width):
    """What is wider than the screen, cut off, or printed over other text; nothing if the page is as it should be."""
    draw_all(page)
    boxes = page.evaluate(f"({TEXT_BOXES})(document.body)")
    assert len(boxes) > 50
    wide = page.evaluate("document.documentElement.scrollWidth")
    return [
        *([f"the page is {wide} wide"] if wide > width else []),
        *(f"beyond the screen: {box[0]}" for box in boxes if box[1] < -1 or box[3] > width + 1),
        *(f"cut off: {element}" for element in page.evaluate(CUT_OFF)),
        *(f"beyond its chart: {text}" for text in page.evaluate(BEYOND)),
        *(f"overprinted: {one} / {other}" for one, other in overprinted(boxes)),
    ]
