// Rankings by Hamming distance and their average precision, from the packed codes in explorer-data.js (bcdh_lib/report/explorer.py).
"use strict";

const SHOWN = 24; // ranked photos
const SYMBOLS = { hit: "✓", miss: "✗", junk: "–" };
const ONES = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll("0", "").length);

const bytesOf = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

// Hamming distances in bits from a collection's query, by its number, to every photo of the database.
function distancesFrom(collection, system, query) {
  const codes = collection.codes[system.name];
  codes.rows ??= { queries: bytesOf(codes.queries), database: bytesOf(codes.database) };
  const { queries, database } = codes.rows, width = system.bits / 8, distances = new Uint16Array(collection.database);
  for (let photo = 0; photo < distances.length; photo++) {
    for (let byte = 0; byte < width; byte++) distances[photo] += ONES[queries[query * width + byte] ^ database[photo * width + byte]];
  }
  return distances;
}

// Average precision by the trapezoid rule, expected over a random order of each tie, in closed form; NaN without positives. As
// average_precision of bcdh_lib/core/metrics.py, whose docstring has the formula: tie d holds sizes[d] photos, hits[d] of them positive.
function averagePrecision(sizes, hits) {
  const harmonic = [0];
  for (let n = 1, all = sizes.reduce((a, b) => a + b, 0); n <= all; n++) harmonic.push(harmonic[n - 1] + 1 / n);
  let start = 0, before = 0, sum = 0;
  sizes.forEach((n, tie) => {
    const g = hits[tie], chance = n > 0 ? g / n : 0, growth = n > 1 ? (g - 1) / (n - 1) : 0;
    // Sum over i < places of (hitsBefore + growth i) / (rank + i), rank >= 1.
    const summed = (hitsBefore, rank, places) =>
      places * growth + (hitsBefore - growth * rank) * (harmonic[rank + places - 1] - harmonic[rank - 1]);
    if (n > 0) {
      const top = start === 0 ? 1 : 0; // rank 0 has nothing before it: there the first of the two precisions is 1
      sum += chance * (summed(before + 1, start + 1, n) + top + summed(before + growth * top, start + top, n - top)) / 2;
    }
    start += n;
    before += g;
  });
  return sum / before;
}

// A benchmark's query ranked by a system: all photos in order with their distances and marks (junk among them), and the AP.
function rankingOf(benchmark, number, system) {
  const query = benchmark.queries[number], positives = new Set(query.positives), junk = new Set(query.junk);
  const distances = distancesFrom(explored.collections[benchmark.collection], system, number);
  const sizes = new Array(system.bits + 1).fill(0), hits = new Array(system.bits + 1).fill(0);
  const photos = Array.from(distances, (distance, photo) => {
    const mark = junk.has(photo) ? "junk" : positives.has(photo) ? "hit" : "miss";
    if (mark !== "junk") sizes[distance]++;
    if (mark === "hit") hits[distance]++;
    return { photo, distance, mark };
  });
  photos.sort((one, other) => one.distance - other.distance || one.photo - other.photo);
  return { photos, ap: averagePrecision(sizes, hits) };
}

const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function pictureOf(benchmark, photo, alt) {
  return element("img", { src: `assets/explorer/${benchmark.collection}/${photo}.jpg`, alt });
}

function showQuery(section, benchmark, query) {
  const name = explored.collections[benchmark.collection].photos[query.photo];
  const frame = element("div", { className: "frame" }, pictureOf(benchmark, query.photo, `Query photo ${name}`));
  if (query.box) {
    const box = element("span", { className: "box" });
    ["left", "top", "width", "height"].forEach((side, place) => { box.style[side] = `${100 * query.box[place]}%`; });
    frame.append(box);
  }
  const junk = new Set(query.junk), answers = query.positives.filter((photo) => !junk.has(photo)).length;
  const words = `${query.name}: ${counted(answers, "photo")} to be found, ${query.junk.length} junk${query.box ? "; the box is the query" : ""}.`;
  section.replaceChildren(frame, element("p", {}, words));
}

function showRanking(section, benchmark, number, system) {
  const { photos, ap } = rankingOf(benchmark, number, system);
  const items = [], names = explored.collections[benchmark.collection].photos;
  let rank = 0, hits = 0;
  for (const { photo, distance, mark } of photos) {
    if (rank === SHOWN) break;
    if (mark !== "junk") rank++;
    if (mark === "hit") hits++;
    const place = mark === "junk" ? "junk" : `${rank}.`;
    const symbol = element("span", { className: `badge ${mark}`, ariaHidden: "true" }, SYMBOLS[mark]);
    const said = element("span", { className: "distance" }, `${place} ${counted(distance, "bit")}`);
    const item = element("li", { className: mark }, pictureOf(benchmark, photo, `${mark}: ${names[photo]}`), symbol, said);
    item.dataset.photo = photo;
    items.push(item);
  }
  const precision = Number.isNaN(ap) ? "undefined, since no photo answers this query" : element("data", { value: String(ap) }, ap.toFixed(3));
  section.querySelector("h2").textContent = `${system.label}, ${system.bits} bits`;
  section.querySelector("p").replaceChildren("Average precision ", precision, `; ${counted(hits, "hit")} among the first ${rank}.`);
  section.querySelector("ol").replaceChildren(...items);
}

// Put options [value, words] into a select, the wanted one chosen if it is among them, else the first.
function fill(select, options, wanted) {
  select.replaceChildren(...options.map(([value, words]) => new Option(words, value, false, String(value) === String(wanted))));
}

function startExplorer() {
  const choice = document.getElementById("choices").elements;
  const labels = [...new Set(explored.systems.map((system) => system.label))].map((label) => [label, label]);
  const benchmark = () => explored.benchmarks[choice.benchmark.value];

  function showMethod(prefix, number) {
    const label = choice[`${prefix}method`].value, bits = choice[`${prefix}bits`];
    const offered = explored.systems.filter((system) => system.label === label);
    const wanted = bits.value || choice.bits.value || offered.at(-1)?.bits;
    fill(bits, offered.map((system) => [system.bits, `${system.bits} bits`]), wanted);
    bits.disabled = offered.length === 0;
    const section = document.getElementById(`${prefix}ranking`);
    section.hidden = offered.length === 0;
    if (!section.hidden) showRanking(section, benchmark(), number, offered[bits.selectedIndex]);
  }

  function show() {
    const number = Number(choice.query.value);
    showQuery(document.getElementById("asked"), benchmark(), benchmark().queries[number]);
    showMethod("", number);
    showMethod("other-", number);
  }

  function ask() {
    fill(choice.query, benchmark().queries.map((query, number) => [number, query.name]));
    show();
  }

  function turn(steps) {
    const queries = choice.query.length;
    choice.query.selectedIndex = (choice.query.selectedIndex + steps + queries) % queries;
    show();
  }

  fill(choice.benchmark, explored.benchmarks.map(({ label }, number) => [number, label]));
  fill(choice.method, labels);
  fill(choice["other-method"], [["", "nothing"], ...labels]);
  choice.benchmark.addEventListener("change", ask);
  for (const name of ["query", "method", "bits", "other-method", "other-bits"]) choice[name].addEventListener("change", show);
  choice.previous.addEventListener("click", () => turn(-1));
  choice.next.addEventListener("click", () => turn(1));
  ask();
  document.getElementById("explorer").hidden = false;
}

startExplorer();
