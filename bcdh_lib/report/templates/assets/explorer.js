// Rankings by Hamming or asymmetric distance and their average precision, from the codes in explorer-data.js (bcdh_lib/report/explorer.py).
"use strict";

const SHOWN = 24; // ranked photos
const SYMBOLS = { hit: "✓", miss: "✗", junk: "–" };
const ONES = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll("0", "").length);
const STEPS = 2 ** 30; // asymmetric distances count in steps of a query's largest output: sums are exact, as in bcdh_lib/core/codes.py

const bytesOf = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

// The rows of a query and of the database: their bits as bytes, and for asymmetric distances the cost of each bit that differs.
function codesOf(collection, system, query, scoring) {
  const codes = collection.codes[system.name], width = system.bits / 8;
  codes.rows ??= {
    hamming: { queries: bytesOf(codes.queries), database: bytesOf(codes.database) },
    asymmetric: { outputs: new Float32Array(bytesOf(codes.centred_queries).buffer), database: bytesOf(codes.recentred_database) },
  };
  const { queries, outputs, database } = codes.rows[scoring];
  if (scoring === "hamming") return { query: queries.subarray(query * width, (query + 1) * width), database, width };
  const row = outputs.subarray(query * system.bits, (query + 1) * system.bits), bits = new Uint8Array(width);
  row.forEach((output, bit) => { if (output >= 0) bits[bit >> 3] |= 1 << (bit & 7); });
  const scale = (Math.max(...row.map(Math.abs)) || 1) / STEPS;
  return { query: bits, database, width, scale, costs: Float64Array.from(row, (output) => Math.round(Math.abs(output / scale))) };
}

const bitOf = (bytes, bit) => (bytes[bit >> 3] >> (bit & 7)) & 1;

// Distances from a collection's query, by its number, to every photo of the database: bits that differ, or the sum of their costs.
function distancesFrom(collection, system, query, scoring) {
  const { query: asked, database, width, scale, costs } = codesOf(collection, system, query, scoring);
  return Float64Array.from({ length: collection.database }, (_, photo) => {
    let distance = 0;
    for (let byte = 0; byte < width; byte++) {
      const differing = asked[byte] ^ database[photo * width + byte];
      if (!costs) distance += ONES[differing];
      else for (let bit = 0; bit < 8; bit++) if ((differing >> bit) & 1) distance += costs[8 * byte + bit];
    }
    return costs ? distance * scale : distance;
  });
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
function rankingOf(benchmark, number, system, scoring) {
  const query = benchmark.queries[number], positives = new Set(query.positives), junk = new Set(query.junk);
  const distances = distancesFrom(explored.collections[benchmark.collection], system, number, scoring);
  const markOf = (photo) => (junk.has(photo) ? "junk" : positives.has(photo) ? "hit" : "miss");
  const photos = Array.from(distances, (distance, photo) => ({ photo, distance, mark: markOf(photo) }));
  photos.sort((one, other) => one.distance - other.distance || one.photo - other.photo);
  const sizes = [], hits = [];
  let last = -1;
  for (const { distance, mark } of photos) {
    if (mark === "junk") continue;
    if (distance !== last) last = distance, sizes.push(0), hits.push(0);
    sizes[sizes.length - 1]++;
    if (mark === "hit") hits[hits.length - 1]++;
  }
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
  const words = `${query.name}: ${counted(answers, "photo")} to find, ${query.junk.length} junk${query.box ? "; the box is the query" : ""}.`;
  section.replaceChildren(frame, element("p", {}, words));
}

const distanceWords = (distance, scoring) => (scoring === "hamming" ? counted(distance, "bit") : distance.toFixed(2));
const systemWords = (system, scoring) => `${system.label}, ${system.bits} bits${scoring === "hamming" ? "" : ", asymmetric"}`;

// Two codes, the query's above the photo's, 32 bits a line: filled is 1, a bar between two bits that differ. For asymmetric
// distances, the height of the query's bit is its output, which is what the distance counts if the bit differs.
function showCodes(section, collection, system, scoring, number, photo) {
  const { query, database, width, costs } = codesOf(collection, system, number, scoring);
  const found = database.subarray(photo * width, (photo + 1) * width), most = costs ? Math.max(...costs) : 1;
  const shapes = [];
  let differing = 0;
  for (let bit = 0; bit < system.bits; bit++) {
    const x = 12 * (bit % 32) + 1, y = 40 * Math.floor(bit / 32) + 1, [above, below] = [bitOf(query, bit), bitOf(found, bit)];
    const high = costs ? 1 + (11 * costs[bit]) / most : 10, kind = above === below ? "same" : "differs";
    if (above !== below) differing++, shapes.push(`<rect class="differs one" x="${x + 3.5}" y="${y + 13.5}" width="3" height="6"/>`);
    shapes.push(`<rect class="${kind} ${above ? "one" : ""}" x="${x}" y="${y + 12 - high}" width="10" height="${high}"/>`);
    shapes.push(`<rect class="${kind} ${below ? "one" : ""}" x="${x}" y="${y + 21}" width="10" height="10"/>`);
  }
  const name = collection.photos[photo], words = `${differing} of ${system.bits} bits differ`, columns = Math.min(system.bits, 32);
  section.querySelector("h2").textContent = `Bit by bit: ${words}`;
  section.querySelector("p").textContent = `${systemWords(system, scoring)}. Above: the query's code. Below: that of ${name}. `
    + "A filled square is 1. Orange squares, joined by a bar, differ."
    + (costs ? " The height of a query's bit is its real output; the distance is the sum over the bits that differ." : "");
  const box = `0 0 ${12 * columns} ${40 * Math.ceil(system.bits / 32) - 6}`;
  section.querySelector("div").innerHTML = `<svg viewBox="${box}" style="max-width: ${1.5 * 12 * columns}px" role="img" aria-label="Two codes: ${words}">${shapes.join("")}</svg>`;
}

// The first photos of a ranking, each a button that calls pick(photo); returns the one ranked first.
function showRanking(section, benchmark, number, system, scoring, pick) {
  const { photos, ap } = rankingOf(benchmark, number, system, scoring);
  const items = [], names = explored.collections[benchmark.collection].photos;
  let rank = 0, hits = 0;
  for (const { photo, distance, mark } of photos) {
    if (rank === SHOWN) break;
    if (mark !== "junk") rank++;
    if (mark === "hit") hits++;
    const place = mark === "junk" ? "junk" : `${rank}.`;
    const symbol = element("span", { className: `badge ${mark}`, ariaHidden: "true" }, SYMBOLS[mark]);
    const said = element("span", { className: "distance" }, `${place} ${distanceWords(distance, scoring)}`);
    const button = element("button", { type: "button", title: "Compare the codes" }, pictureOf(benchmark, photo, `${mark}: ${names[photo]}`), symbol, said);
    button.addEventListener("click", () => pick(photo));
    const item = element("li", { className: mark }, button);
    item.dataset.photo = photo;
    items.push(item);
  }
  const precision = Number.isNaN(ap) ? "undefined, since no photo answers this query" : element("data", { value: String(ap) }, ap.toFixed(3));
  section.querySelector("h2").textContent = systemWords(system, scoring);
  section.querySelector("p").replaceChildren("Average precision ", precision, `; ${counted(hits, "hit")} among the first ${rank}.`);
  section.querySelector("ol").replaceChildren(...items);
  return photos[0].photo;
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
    const section = document.getElementById(`${prefix}ranking`), scoring = choice[`${prefix}scoring`];
    for (const part of [section, bits.parentElement, scoring.parentElement]) part.hidden = offered.length === 0;
    if (section.hidden) return;
    const system = offered[bits.selectedIndex];
    const pick = (photo) => {
      showCodes(document.getElementById("codes"), explored.collections[benchmark().collection], system, scoring.value, number, photo);
      for (const item of document.querySelectorAll(".rankings li")) {
        item.firstChild.ariaPressed = item.closest("section") === section && item.dataset.photo === String(photo);
      }
    };
    const first = showRanking(section, benchmark(), number, system, scoring.value, pick);
    if (!prefix) pick(first);
  }

  function show() {
    const number = Number(choice.query.value);
    showQuery(document.getElementById("asked"), benchmark(), benchmark().queries[number]);
    showMethod("other-", number);
    showMethod("", number);
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
  for (const name of ["query", "method", "bits", "scoring", "other-method", "other-bits", "other-scoring"]) choice[name].addEventListener("change", show);
  choice.previous.addEventListener("click", () => turn(-1));
  choice.next.addEventListener("click", () => turn(1));
  ask();
  document.getElementById("explorer").hidden = false;
}

startExplorer();
