// The sampled texts, token by token.
const openTexts = ({ scenario, arm, seed, step }) => {
  if (!data.texts.length) return;
  const there = (one) => one.scenario === scenario && (arm === undefined || one.arm === arm) && (seed === undefined || String(one.seed) === String(seed));
  const found = data.texts.find(there);
  if (!found) return;
  choose({ scenario: found.scenario, arm: found.arm, seed: found.seed, step: step ?? Infinity });
  byId("texts").scrollIntoView();
};
all(".to-texts").forEach((button) => {
  const { scenario, arm, seed } = button.dataset;
  const there = data.texts.some((one) => one.scenario === scenario && one.arm === arm && (seed === undefined || String(one.seed) === seed));
  button.hidden = !there;
  button.addEventListener("click", () => {
    openTexts({ scenario, arm, seed });
    byId("pick-seed").focus({ preventScroll: true });
  });
});

const HAPPENED = "happened";
// Below 0 down, above 0 up; the words at both ends and in the middle, and how strong which colour is.
const signed = { low: "−3 or below", middle: "0", high: "3 or above", ends: [-3, 3], shade: (x) => [Math.abs(x) / 3, x < 0 ? "--down" : "--up"] };
const SCALES = {
  advantage: signed,
  a: { low: "0: off", middle: "1: as PPO", high: "2: doubled", ends: [0, 2], shade: (x) => [Math.abs(x - 1), x < 1 ? "--down" : "--up"] },
  b: { low: "−1: pushed down", high: "0: left alone", ends: [-1, 0], shade: (x) => [-x, "--greedy"] },
  sigma: { low: "0 or below", high: "2 or above", ends: [0, 2], shade: (x) => [x / 2, "--up"] },
  eta: { low: "0", high: "1", ends: [0, 1], shade: (x) => [x, "--up"] },
  greedy_advantage: signed,
};
// What may have happened to a token, the first that did gives the colour: column, how strongly, its colour, in words.
const EVENTS = [
  ["turned", (x) => x, "--down", "turned by the method: too good, so pushed down"],
  ["b", (x) => -x, "--greedy", "b < 0: at this place the greedy token, which need not be this one, is pushed down; the stronger the darker"],
  ["hack", (x) => x, "--hacked", "part of a hack"],
];
const background = (strength, tone) => `rgba(${colour(tone)}, ${(Number(colour("--shade")) * Math.min(1, Math.max(0, strength))).toFixed(3)})`;
const pick = Object.fromEntries(["scenario", "arm", "seed", "step", "colour"].map((name) => [name, byId(`pick-${name}`)]));
const unique = (values) => [...new Set(values)];
const offer = (select, values, label = (value) => value) => {
  const before = select.value;
  select.replaceChildren(...values.map((value) => new Option(label(value), value)));
  if (values.map(String).includes(before)) select.value = before;
  select.parentElement.hidden = values.length < 2; // no choice
};
let run = null;
let wanted = HAPPENED; // of the colours, the last that was picked: an arm may not have it, and the next one again
let described = null;
const chosenTexts = () => {
  if (!run) return undefined;
  const { scenario, arm, seed, steps } = run;
  const at = Number(pick.step.value);
  const step = at === steps.length - 1 ? null : steps[at].step; // who reads the last step wants the last one next time
  return { scenario, arm, seed, step, colour: wanted, only: byId("only-hacks").checked };
};
const firstTokens = () => run.steps.flatMap((step) => step.rows)[0]?.tokens ?? {};
const eventsThere = () => EVENTS.filter(([name]) => firstTokens()[name]);
const offerColours = () => {
  const tokens = firstTokens();
  const looks = "sigma" in tokens; // η is there of any method, and says something only of one that looks at it
  const there = Object.keys(SCALES).filter((name) => tokens[name] && (name !== "eta" || looks));
  const options = [...(eventsThere().length ? [HAPPENED] : []), ...there, ""];
  offer(pick.colour, options, (name) => (name === HAPPENED ? "what happened" : name ? data.columns[name].title : "none"));
  pick.colour.value = options.includes(wanted) ? wanted : options[0];
};
const choose = (place) => {
  const want = (select, value) => { if (value !== undefined) select.value = value; };
  offer(pick.scenario, unique(data.texts.map((one) => one.scenario)));
  want(pick.scenario, place?.scenario);
  const there = data.texts.filter((one) => one.scenario === pick.scenario.value);
  offer(pick.arm, unique(there.map((one) => one.arm)));
  want(pick.arm, place?.arm);
  const own = there.filter((one) => one.arm === pick.arm.value);
  offer(pick.seed, unique(own.map((one) => one.seed)));
  want(pick.seed, place?.seed);
  const next = own.find((one) => String(one.seed) === pick.seed.value) ?? own[0];
  if (next !== run || place?.step !== undefined) {
    const step = place?.step ?? (run ? run.steps[Number(pick.step.value)].step : Infinity);
    run = next;
    pick.step.max = run.steps.length - 1;
    const later = run.steps.findIndex((one) => one.step >= step);
    pick.step.value = later < 0 ? run.steps.length - 1 : later;
    offerColours();
  }
  const listed = data.runs.find((one) => one.scenario === run.scenario && one.arm === run.arm && one.seed === run.seed);
  byId("which").textContent = listed
    ? [listed.folder, listed.state, ...listed.shown.map(([label, value]) => `${label} ${value}`)].join(" · ")
    : "";
  show();
};
const card = (row) => {
  const item = make("li");
  const worth = (x) => (Number.isFinite(x) ? x.toFixed(3) : "–"); // what nobody declared is not known
  const facts = make("p", `proxy ${worth(row.reward)} · true ${worth(row.true_reward)} `, "facts");
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
    if (row.tokens.hack?.[i]) token.classList.add("hack");
    if (row.tokens.other ? row.tokens.other[i] : row.tokens.greedy[i] !== piece) token.classList.add("other");
    tokens.append(token);
  });
  text.tokens = row.tokens;
  item.append(facts, text);
  return item;
};
const shadeOf = (tokens, i, name) => {
  if (name === HAPPENED) {
    const event = EVENTS.find(([column, strength]) => tokens[column] && strength(tokens[column][i]) > 0);
    return event ? background(event[1](tokens[event[0]][i]), event[2]) : "";
  }
  return name && tokens[name] ? background(...SCALES[name].shade(tokens[name][i])) : "";
};
const explainColours = (name) => {
  const legend = byId("legend");
  legend.replaceChildren();
  if (name === HAPPENED) {
    for (const [column, , tone, words] of eventsThere()) {
      const patch = make("span", words, column === "hack" ? "patch hack" : "patch");
      patch.style.backgroundColor = background(1, tone);
      legend.append(patch);
    }
  } else if (name) {
    const bar = make("span", undefined, "bar");
    const scale = SCALES[name];
    const [from, to] = scale.ends;
    const stops = [0, 0.25, 0.5, 0.75, 1].map((x) => background(...scale.shade(from + x * (to - from))));
    bar.style.backgroundImage = `linear-gradient(90deg, ${stops.join(", ")})`;
    legend.append(make("span", scale.low), bar, make("span", scale.high));
    if (scale.middle) legend.append(make("span", `middle: ${scale.middle}`));
    if (firstTokens().hack) legend.append(make("span", "bold and underlined: part of a hack"));
  }
  legend.append(make("span", "dotted: the greedy token was another"));
};
const paint = () => {
  const name = pick.colour.value;
  all("#cards .text").forEach((text) => {
    all(".token", text).forEach((token, i) => { token.style.backgroundColor = shadeOf(text.tokens, i, name); });
  });
  explainColours(name);
};
const show = () => {
  const at = run.steps[Number(pick.step.value)];
  byId("step-shown").textContent = at.step;
  pick.step.setAttribute("aria-valuetext", `step ${at.step}`);
  const rows = at.rows.filter((row) => row.hacked || !byId("only-hacks").checked);
  const known = at.rows.some((row) => row.hacked !== undefined && row.hacked !== null);
  byId("only-hacks").parentElement.hidden = !known;
  byId("cards").replaceChildren(...rows.map(card));
  const hacked = known ? `${at.rows.filter((row) => row.hacked).length} hacked` : "nothing was declared to be a hack";
  byId("count").textContent = `${rows.length} of ${at.rows.length} texts, ${hacked}`;
  hide();
  paint();
};

// What the method saw at a token.
const tip = byId("tip");
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
  if (tokens.turned?.[i]) line("turned", "too good: pushed down");
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
const tokenOf = (event) => event.target.closest?.(".token");
const goAlong = (event) => {
  if (event.key === "Escape") hide();
  const token = tokenOf(event);
  if (!token || !["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
  const tokens = all(".token", token.parentElement);
  const i = tokens.indexOf(token);
  const next = { ArrowLeft: i - 1, ArrowRight: i + 1, Home: 0, End: tokens.length - 1 }[event.key];
  if (!tokens[next]) return;
  event.preventDefault();
  token.tabIndex = -1;
  tokens[next].tabIndex = 0;
  tokens[next].focus();
};
if (data.texts.length) {
  for (const one of [pick.scenario, pick.arm, pick.seed]) one.addEventListener("change", () => choose());
  pick.step.addEventListener("input", show);
  pick.colour.addEventListener("change", () => {
    wanted = pick.colour.value;
    paint();
  });
  byId("only-hacks").addEventListener("change", show);
  themeChanges.push(paint);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  const cards = byId("cards");
  for (const kind of ["mouseover", "focusin"]) cards.addEventListener(kind, (event) => tokenOf(event) && explain(tokenOf(event)));
  for (const kind of ["mouseout", "focusout"]) cards.addEventListener(kind, hide);
  window.addEventListener("scroll", follow, { passive: true });
  document.addEventListener("keydown", goAlong);
  wanted = kept.texts?.colour ?? HAPPENED;
  byId("only-hacks").checked = Boolean(kept.texts?.only);
  const before = data.texts.some((one) => one.scenario === kept.texts?.scenario && one.arm === kept.texts.arm && one.seed === kept.texts.seed);
  choose(before ? { ...kept.texts, step: kept.texts.step ?? Infinity } : undefined);
}
