// Charts: drawn when they come near, in the page's colours, and all of them for paper.
const drawn = new Set();
const themed = (layout) => {
  const line = colour("--line");
  const own = { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { ...layout.font, color: colour("--ink") } };
  for (const key of Object.keys(layout)) {
    if (/^[xy]axis\d*$/.test(key)) own[key] = { ...layout[key], gridcolor: line, zerolinecolor: line, linecolor: line };
  }
  const hover = { bgcolor: colour("--paper"), bordercolor: line, font: { color: colour("--ink") } };
  return { ...layout, ...own, hoverlabel: hover, hovermode: "closest" };
};
const boxes = all("#arms input[value]");
const boxOf = Object.fromEntries(boxes.map((box) => [box.value, box]));
const seedsBox = byId("seeds");
const tablesBox = byId("tables"); // whether the boxes choose the rows of tables, too
const isHidden = (arm) => boxOf[arm] !== undefined && !boxOf[arm].checked;
const armOf = (trace) => trace.legendgroup || trace.name; // a surface has neither

// A thin line, or a small mark, a run. Its colours are those of its arm's own trace.
const seedTraces = (chart, traces, place) => {
  if (!seedsBox?.checked || !chart.seeds || place) return [];
  return chart.seeds.map((one) => {
    const own = traces.find((trace) => trace.name === one.arm);
    const at = one.length ? data.steps[one.length] : one.x;
    const look = one.length
      ? { mode: "lines", line: { ...own?.line, width: 0.8 }, opacity: 0.55 }
      : { mode: "markers", marker: { ...own?.marker, size: 6 }, opacity: 0.6 };
    const where = one.length ? "step %{x}: %{y:.3f}" : "hack rate %{x:.3f}, true reward %{y:.3f}";
    const hover = `${one.arm.replaceAll("<", "&lt;")}, seed ${one.seed}, ${where}<br>click: its texts<extra></extra>`;
    return { type: "scatter", x: at, y: one.y, ...look, name: one.arm, meta: { arm: one.arm, seed: one.seed }, hovertemplate: hover };
  });
};
const draw = (div) => {
  const chart = data.charts[div.id];
  const choice = document.querySelector(`select[data-for="${div.id}"]`);
  const place = choice ? Number(choice.value) : 0;
  const traces = chart.choices ? chart.choices[place] : chart.traces;
  const single = seedTraces(chart, traces, place);
  const shown = [...single, ...traces].map((trace) => (armOf(trace) && !chart.whole ? { ...trace, visible: isHidden(armOf(trace)) ? "legendonly" : true } : trace));
  const layout = themed(chart.layout);
  if (single.length && single[0].mode === "lines" && chart.measure !== "hack_rate") {
    layout.yaxis = { ...layout.yaxis, range: null, autorange: true }; // a seed may leave what the means need
  }
  Plotly.react(div, shown, layout, { displayModeBar: false, responsive: true });
  if (!drawn.has(div)) {
    div.on("plotly_click", ({ points }) => {
      const { meta } = points[0].data;
      const step = chart.measure ? points[0].x : undefined;
      if (meta && chart.scenario !== undefined) openTexts({ scenario: chart.scenario, ...meta, step });
    });
  }
  const absent = byId(`${div.id}-absent`);
  if (absent) absent.textContent = chart.absent?.[place].length ? `Not there: ${chart.absent[place].join(", ")}.` : "";
  drawn.add(div);
};
const drawAgain = () => {
  all(".key-of").forEach((key) => key.classList.toggle("off", isHidden(key.dataset.arm)));
  all("tr[data-arm]").forEach((row) => { row.hidden = Boolean(tablesBox?.checked) && isHidden(row.dataset.arm); });
  drawn.forEach(draw);
};
for (const box of [...boxes, seedsBox, tablesBox]) box?.addEventListener("change", drawAgain);

// Light and dark.
const preferred = window.matchMedia("(prefers-color-scheme: dark)");
const themeChanges = [drawAgain];
const setTheme = (dark) => {
  root.dataset.theme = dark ? "dark" : "light";
  root.style.colorScheme = root.dataset.theme;
  byId("theme").textContent = dark ? "Light" : "Dark";
  themeChanges.forEach((change) => change());
};
if (kept.boxes) {
  boxes.forEach((box) => { box.checked = kept.boxes[box.value] ?? box.checked; });
  if (seedsBox) seedsBox.checked = kept.seeds;
  if (tablesBox) tablesBox.checked = kept.tables;
}
for (const choice of all("select[data-for]")) {
  if (kept.choices?.[choice.id] < choice.options.length) choice.value = kept.choices[choice.id];
  choice.addEventListener("change", () => draw(byId(choice.dataset.for)));
}
setTheme(kept.theme ? kept.theme === "dark" : preferred.matches);
preferred.addEventListener("change", (event) => setTheme(event.matches));
byId("theme").addEventListener("click", () => setTheme(root.dataset.theme !== "dark"));

const near = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) {
      near.unobserve(entry.target);
      draw(entry.target);
    }
  }
}, { rootMargin: "300px" });
all(".chart").forEach((div) => near.observe(div));

// On paper everything is there, at the paper's width and in light colours.
let before = null;
window.addEventListener("beforeprint", () => {
  before = { dark: root.dataset.theme === "dark", open: all("details").map((one) => one.open) };
  root.classList.add("printing");
  all("details").forEach((one) => { one.open = one.id !== "all-runs" || one.open; });
  if (before.dark) setTheme(false);
  all(".chart").forEach((div) => {
    draw(div);
    Plotly.relayout(div, { width: div.clientWidth, autosize: false });
  });
});
window.addEventListener("afterprint", () => {
  root.classList.remove("printing");
  all("details").forEach((one, i) => { one.open = before.open[i]; });
  if (before.dark) setTheme(true);
  all(".chart").forEach((div) => Plotly.relayout(div, { width: null, autosize: true }));
});
