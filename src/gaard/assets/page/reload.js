// A page of what still trains loads itself again, and comes back as it was.
all("details").forEach((one) => { one.open = kept.open?.includes(one.id) || one.open; });
if (kept.scroll !== undefined) {
  history.scrollRestoration = "manual";
  window.scrollTo(0, kept.scroll);
}
if (kept.paused && byId("reload")) byId("reload").checked = false;
const keep = () => {
  const state = {
    scroll: window.scrollY,
    theme: root.dataset.theme,
    boxes: Object.fromEntries(boxes.map((box) => [box.value, box.checked])),
    seeds: Boolean(seedsBox?.checked),
    tables: Boolean(tablesBox?.checked),
    choices: Object.fromEntries(all("select[data-for]").map((one) => [one.id, Number(one.value)])),
    open: all("details").filter((one) => one.open).map((one) => one.id),
    texts: chosenTexts(),
    paused: byId("reload") && !byId("reload").checked,
  };
  try {
    sessionStorage.setItem(PLACE, JSON.stringify(state));
  } catch {
    // It comes back as it was first: no reason not to show what is new.
  }
};
if (data.refresh) {
  window.setInterval(() => {
    // Who looks at a token or at a list that is open would lose it.
    const busy = described !== null || document.activeElement?.tagName === "SELECT";
    if (!byId("reload").checked || busy) return;
    keep();
    location.reload();
  }, 1000 * data.refresh);
}
