// Light and dark, views that turn, tables that sort, boxes that scroll. Without scripts every page can still be read.
"use strict";

const root = document.documentElement;
const remembered = (() => { try { return localStorage.getItem("bcdh-theme"); } catch { return null; } })();
if (remembered) root.dataset.theme = remembered;

const views = {}; // filled by a script for each view

function load(address) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = address;
    script.onload = resolve;
    script.onerror = () => reject(new Error(`${address} is not there`));
    document.head.append(script);
  });
}

function isDark() {
  return root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function offerTheme(button) {
  const label = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("bcdh-theme", root.dataset.theme); } catch { /* forgotten with the page */ }
    label();
  });
  label();
  button.hidden = false;
}

// A view starts as its still picture; plotly and the view's points are loaded only when someone turns it.
function offerView(figure) {
  const button = figure.querySelector("button");
  button.addEventListener("click", async () => {
    button.disabled = true;
    button.textContent = "Loading…";
    try {
      if (!window.Plotly) await load("assets/plotly.min.js");
      await load(figure.dataset.view);
      const { data, layout } = views[figure.dataset.view];
      const scene = document.createElement("div");
      scene.className = "scene";
      figure.prepend(scene);
      figure.classList.add("turning");
      const own = { autosize: true, width: undefined, height: undefined, paper_bgcolor: "rgba(0,0,0,0)" };
      await Plotly.newPlot(scene, data, { ...layout, ...own }, { responsive: true, displaylogo: false });
      button.remove();
    } catch (error) {
      figure.classList.remove("turning");
      figure.querySelector(".scene")?.remove();
      button.textContent = `This view cannot be turned here (${error.message})`;
    }
  });
  button.hidden = false;
}

// Each heading of a table becomes a button that sorts its rows: numbers by value, the rest as text, missing values last.
function makeSortable(table) {
  const headings = [...table.querySelectorAll("thead th")], body = table.tBodies[0];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const sign = heading.ariaSort === "descending" ? 1 : -1;
      const missing = (text) => text === "–" || text === "";
      const compare = (one, other) => {
        const [a, b] = [one, other].map((row) => row.cells[column].textContent.trim());
        if (missing(a) || missing(b)) return missing(a) - missing(b);
        return sign * (isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b);
      };
      body.append(...[...body.rows].sort(compare));
      for (const each of headings) each.removeAttribute("aria-sort");
      heading.ariaSort = sign > 0 ? "ascending" : "descending";
    });
  });
}

addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("table.sortable").forEach(makeSortable);
  offerTheme(document.getElementById("theme"));
  const figures = [...document.querySelectorAll("figure.view")];
  if (figures.length && document.createElement("canvas").getContext("webgl2")) figures.forEach(offerView);
  const here = document.querySelector("header [aria-current]");
  if (here) here.parentElement.scrollLeft = here.offsetLeft - here.parentElement.offsetLeft;
  const contents = document.querySelector("details.contents");
  if (contents && matchMedia("(max-width: 60rem)").matches) contents.open = false;
  for (const box of document.querySelectorAll(".scroll, figure, .prose pre, .prose table")) if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight + 1) box.tabIndex = 0;
});
