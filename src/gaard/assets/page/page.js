"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const make = (tag, text, className) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text; // never innerHTML: a model wrote what is shown here
    if (className) element.className = className;
    return element;
  };

  // Light and dark ---------------------------------------------------------------------------------------------------
  const preferred = window.matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Set();
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const themed = (layout) => {
    const line = colour("--line");
    const own = { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { ...layout.font, color: colour("--ink") } };
    for (const key of Object.keys(layout)) {
      if (/^[xy]axis\d*$/.test(key)) own[key] = { ...layout[key], gridcolor: line, zerolinecolor: line, linecolor: line };
    }
    const hover = { bgcolor: colour("--paper"), bordercolor: line, font: { color: colour("--ink") } };
    return { ...layout, ...own, hoverlabel: hover };
  };
  const draw = (div) => {
    const chart = data.charts[div.id];
    const choice = document.querySelector(`select[data-for="${div.id}"]`);
    const place = choice ? Number(choice.value) : 0;
    const traces = (chart.choices ? chart.choices[place] : chart.traces).map((trace) => {
      const arm = trace.legendgroup || trace.name; // a surface has neither
      return arm ? { ...trace, visible: hidden.has(arm) ? "legendonly" : true } : trace;
    });
    Plotly.react(div, traces, themed(chart.layout), { displayModeBar: false, responsive: true });
    const absent = chart.absent ? chart.absent[place] : [];
    byId(`${div.id}-absent`).textContent = absent.length ? `Not there: ${absent.join(", ")}.` : "";
    drawn.add(div);
  };
  const boxes = [...document.querySelectorAll("#arms input")];
  const hidden = new Set(boxes.filter((box) => !box.checked).map((box) => box.value));
  boxes.forEach((box) => {
    box.addEventListener("change", () => {
      box.checked ? hidden.delete(box.value) : hidden.add(box.value);
      drawn.forEach(draw);
    });
  });
  const setTheme = (dark) => {
    root.dataset.theme = dark ? "dark" : "light";
    root.style.colorScheme = root.dataset.theme;
    byId("theme").textContent = dark ? "Light" : "Dark";
    drawn.forEach(draw);
  };
  setTheme(preferred.matches);
  preferred.addEventListener("change", (event) => setTheme(event.matches));
  byId("theme").addEventListener("click", () => setTheme(root.dataset.theme !== "dark"));

  // Charts, drawn when they come near --------------------------------------------------------------------------------
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) {
        near.unobserve(entry.target);
        draw(entry.target);
      }
    }
  }, { rootMargin: "300px" });
  document.querySelectorAll(".chart").forEach((div) => near.observe(div));
  document.querySelectorAll("select[data-for]").forEach((choice) => {
    choice.addEventListener("change", () => draw(byId(choice.dataset.for)));
  });

  // Tables that sort -------------------------------------------------------------------------------------------------
  const sortBy = (table, index) => {
    const heads = [...table.tHead.rows[0].cells];
    const rising = heads[index].getAttribute("aria-sort") !== "ascending";
    heads.forEach((head, i) => head.setAttribute("aria-sort", i !== index ? "none" : rising ? "ascending" : "descending"));
    const value = (row) => (index ? row.cells[index].dataset.value : row.cells[0].textContent);
    const rows = [...table.tBodies[0].rows];
    rows.sort((one, other) => {
      const [x, y] = [value(one), value(other)];
      if (index === 0) return (rising ? 1 : -1) * x.localeCompare(y);
      if (x === "" || y === "") return (x === "") - (y === ""); // what is not known comes last
      return (rising ? 1 : -1) * (Number(x) - Number(y));
    });
    table.tBodies[0].append(...rows);
  };
  document.querySelectorAll("table.measures").forEach((table) => {
    [...table.tHead.rows[0].cells].forEach((head, index) => {
      head.querySelector("button").addEventListener("click", () => sortBy(table, index));
    });
  });

  // Texts ------------------------------------------------------------------------------------------------------------
  if (!data.texts.length) return;
  const signed = { low: "−3 or below", middle: "0", high: "3 or above", ends: [-3, 3], shade: (x) => [Math.abs(x) / 3, x < 0 ? "--down" : "--up"] };
  const SCALES = {
    eta: { low: "0", high: "1", ends: [0, 1], shade: (x) => [x, "--up"] },
    advantage: signed,
    turned: { low: "as it was", high: "turned", ends: [0, 1], shade: (x) => [x, "--down"] },
    a: { low: "0: off", middle: "1: as PPO", high: "2: doubled", ends: [0, 2], shade: (x) => [Math.abs(x - 1), x < 1 ? "--down" : "--up"] },
    b: { low: "−1: pushed down", high: "0: left alone", ends: [-1, 0], shade: (x) => [-x, "--down"] },
    sigma: { low: "0 or below", high: "2 or above", ends: [0, 2], shade: (x) => [x / 2, "--up"] },
    greedy_advantage: signed,
  };
  const background = (strength, tone) => `rgba(${colour(tone)}, ${(Number(colour("--shade")) * Math.min(1, Math.max(0, strength))).toFixed(3)})`;
  const pick = { scenario: byId("pick-scenario"), arm: byId("pick-arm"), seed: byId("pick-seed"), step: byId("pick-step"), colour: byId("pick-colour") };
  const unique = (values) => [...new Set(values)];
  const offer = (select, values, label = (value) => value) => {
    const before = select.value;
    select.replaceChildren(...values.map((value) => new Option(label(value), value)));
    if (values.map(String).includes(before)) select.value = before;
  };
  let run = null;
  let wanted = "eta"; // of the colours, the last that was picked: an arm may not have it, and the next one again
  const offerColours = () => {
    const row = run.steps.flatMap((step) => step.rows)[0];
    const there = Object.keys(data.columns).filter((name) => SCALES[name] && row && row.tokens[name]);
    offer(pick.colour, ["", ...there], (name) => (name ? data.columns[name].title : "none"));
    pick.colour.value = there.includes(wanted) ? wanted : "";
  };
  const choose = () => {
    offer(pick.scenario, unique(data.texts.map((one) => one.scenario)));
    const there = data.texts.filter((one) => one.scenario === pick.scenario.value);
    offer(pick.arm, unique(there.map((one) => one.arm)));
    const own = there.filter((one) => one.arm === pick.arm.value);
    offer(pick.seed, unique(own.map((one) => one.seed)));
    const next = own.find((one) => String(one.seed) === pick.seed.value);
    if (next !== run) {
      const before = run ? run.steps[Number(pick.step.value)].step : Infinity;
      run = next;
      pick.step.max = run.steps.length - 1;
      const later = run.steps.findIndex((one) => one.step >= before);
      pick.step.value = later < 0 ? run.steps.length - 1 : later;
      offerColours();
    }
    show();
  };
  const card = (row) => {
    const item = make("li");
    const facts = make("p", `proxy ${row.reward.toFixed(3)} · true ${row.true_reward.toFixed(3)} `, "facts");
    if (row.hacked) facts.append(make("span", "hack", "badge"));
    const text = make("p", undefined, "text");
    text.append(make("span", row.prompt, "prompt"));
    const tokens = make("span");
    tokens.setAttribute("role", "listbox");
    tokens.setAttribute("aria-label", `Completion: ${row.tokens.text.join("")}`);
    tokens.setAttribute("aria-orientation", "horizontal");
    text.append(tokens);
    row.tokens.text.forEach((piece, i) => {
      const token = make("span", piece.replaceAll("\n", "⏎\n") || "·", "token");
      token.setAttribute("role", "option");
      token.tabIndex = i ? -1 : 0;
      token.dataset.index = i;
      if (row.tokens.hack[i]) token.classList.add("hack");
      if (row.tokens.other ? row.tokens.other[i] : row.tokens.greedy[i] !== piece) token.classList.add("other");
      tokens.append(token);
    });
    text.tokens = row.tokens;
    item.append(facts, text);
    return item;
  };
  const paint = () => {
    const name = pick.colour.value;
    document.querySelectorAll("#cards .text").forEach((text) => {
      text.querySelectorAll(".token").forEach((token, i) => {
        const column = name && text.tokens[name];
        token.style.backgroundColor = column ? background(...SCALES[name].shade(column[i])) : "";
      });
    });
    const legend = byId("legend");
    legend.replaceChildren();
    if (!name) return;
    const bar = make("span", undefined, "bar");
    const scale = SCALES[name];
    const [from, to] = scale.ends;
    const stops = [0, 0.25, 0.5, 0.75, 1].map((x) => background(...scale.shade(from + x * (to - from))));
    bar.style.backgroundImage = `linear-gradient(90deg, ${stops.join(", ")})`;
    legend.append(make("span", scale.low), bar, make("span", scale.high));
    if (scale.middle) legend.append(make("span", `middle: ${scale.middle}`));
    legend.append(make("span", "dotted: the greedy token was another · bold and underlined: the hack"));
  };
  const show = () => {
    const at = run.steps[Number(pick.step.value)];
    byId("step-shown").textContent = at.step;
    pick.step.setAttribute("aria-valuetext", `step ${at.step}`);
    const rows = at.rows.filter((row) => row.hacked || !byId("only-hacks").checked);
    byId("cards").replaceChildren(...rows.map(card));
    byId("count").textContent = `${rows.length} of ${at.rows.length} texts, ${at.rows.filter((row) => row.hacked).length} hacked`;
    hide();
    paint();
  };
  for (const one of [pick.scenario, pick.arm, pick.seed]) one.addEventListener("change", choose);
  pick.step.addEventListener("input", show);
  pick.colour.addEventListener("change", () => {
    wanted = pick.colour.value;
    paint();
  });
  byId("only-hacks").addEventListener("change", show);
  byId("theme").addEventListener("click", paint);
  preferred.addEventListener("change", paint);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());

  // What the method saw at a token -----------------------------------------------------------------------------------
  const tip = byId("tip");
  let described = null;
  const hide = () => {
    tip.hidden = true;
    if (described) described.removeAttribute("aria-describedby");
    described = null;
  };
  const explain = (token) => {
    const tokens = token.closest(".text").tokens;
    const i = Number(token.dataset.index);
    tip.replaceChildren();
    const line = (term, value) => tip.append(make("dt", term), make("dd", value));
    line("sampled", JSON.stringify(tokens.text[i]));
    line("greedy", JSON.stringify(tokens.greedy[i]));
    for (const [name, { label }] of Object.entries(data.columns)) {
      if (name === "turned" || !tokens[name]) continue;
      line(label, Number.isFinite(tokens[name][i]) ? tokens[name][i].toFixed(3) : "not a number");
    }
    if (tokens.turned && tokens.turned[i]) line("turned", "too good: pushed down");
    hide();
    tip.hidden = false;
    described = token;
    token.setAttribute("aria-describedby", "tip");
    follow();
  };
  const follow = () => {
    if (!described) return;
    const place = described.getBoundingClientRect();
    const above = place.bottom + tip.offsetHeight + 8 > window.innerHeight;
    tip.style.left = `${Math.max(4, Math.min(place.left, window.innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${above ? Math.max(4, place.top - tip.offsetHeight - 6) : place.bottom + 6}px`;
  };
  const cards = byId("cards");
  const tokenOf = (event) => event.target.closest?.(".token");
  for (const kind of ["mouseover", "focusin"]) {
    cards.addEventListener(kind, (event) => tokenOf(event) && explain(tokenOf(event)));
  }
  for (const kind of ["mouseout", "focusout"]) cards.addEventListener(kind, hide);
  window.addEventListener("scroll", follow, { passive: true });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
    const token = event.target.closest?.(".token");
    if (!token || !["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
    const all = [...token.parentElement.querySelectorAll(".token")];
    const i = all.indexOf(token);
    const next = { ArrowLeft: i - 1, ArrowRight: i + 1, Home: 0, End: all.length - 1 }[event.key];
    if (!all[next]) return;
    event.preventDefault();
    token.tabIndex = -1;
    all[next].tabIndex = 0;
    all[next].focus();
  });
  choose();
})();
