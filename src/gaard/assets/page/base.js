// What every part of the page uses.
const data = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement;
const byId = (id) => document.getElementById(id);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const make = (tag, text, className) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text; // never innerHTML: a model wrote what is shown here
  if (className) element.className = className;
  return element;
};
const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();

// What a page that loads itself again has chosen before; a browser that keeps nothing only forgets it.
const PLACE = `gaard:${location.pathname}`;
const kept = (() => {
  try {
    const found = JSON.parse(sessionStorage.getItem(PLACE));
    sessionStorage.removeItem(PLACE);
    return found || {};
  } catch {
    return {};
  }
})();

// Tables that sort.
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
all("table.measures").forEach((table) => {
  [...table.tHead.rows[0].cells].forEach((head, index) => {
    head.querySelector("button").addEventListener("click", () => sortBy(table, index));
  });
});
