// The numbers behind the page, as files. Nothing is asked of a network.
const quoted = (value) => {
  const text = value === null || value === undefined ? "" : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
const csv = (rows) => rows.map((row) => `${row.map(quoted).join(",")}\r\n`).join("");
const runRows = () => {
  const names = [...new Set(data.runs.flatMap((run) => Object.keys(run.measures)))];
  const rows = data.runs.map((run) => [run.scenario, run.arm, run.seed, run.state, ...names.map((name) => run.measures[name])]);
  return [["scenario", "arm", "seed", "state", ...names], ...rows];
};
const curveRows = () => {
  const rows = [["scenario", "measure", "arm", "seed", "step", "value", "low", "high", "seeds"]];
  for (const chart of Object.values(data.charts)) {
    if (!chart.measure) continue;
    for (const trace of chart.traces.filter((one) => one.meta)) {
      trace.x.forEach((step, i) => {
        const [seeds, low, high] = trace.customdata?.[i] ?? [];
        rows.push([chart.scenario, chart.measure, trace.meta.arm ?? trace.meta.kind, "", step, trace.y[i], low, high, seeds]);
      });
    }
    for (const one of chart.seeds) {
      data.steps[one.length].forEach((step, i) => rows.push([chart.scenario, chart.measure, one.arm, one.seed, step, one.y[i]]));
    }
  }
  return rows;
};
const asObjects = ([names, ...rows]) => rows.map((row) => Object.fromEntries(names.map((name, i) => [name, row[i] ?? null])));
const FILES = {
  "runs.csv": () => csv(runRows()),
  "curves.csv": () => csv(curveRows()),
  "report.json": () => JSON.stringify({ runs: data.runs, curves: asObjects(curveRows()) }),
};
all("#downloads button").forEach((button) => {
  button.addEventListener("click", () => {
    const name = button.dataset.file;
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([FILES[name]()], { type: name.endsWith("csv") ? "text/csv" : "application/json" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
});
