// The duty officer's page: the newest changes as they are told, and the counts and the chart
// fetched again. Names come from the page's own filters, so they stand in one place.
"use strict";

(() => {
  const ROWS_MAX = 200; // rows kept; an older one goes when a newer comes
  const COUNTS_MS = 5000;
  const CHART_MS = 15000;
  const REOPEN_MS = 5000; // after the browser itself gave up
  const ANSWER_MS = 8000;
  const ZONE_MS = 8 * 3600 * 1000; // Asia/Shanghai has no summer time

  const $ = (id) => document.getElementById(id);
  const form = $("filters");
  const table = $("changes");
  const rows = table.tBodies[0];
  const language = form.elements.lang.value;
  const pad = (n) => String(n).padStart(2, "0");
  const sources = Object.fromEntries(
    [...$("sources").content.querySelectorAll("i")].map((i) => [i.dataset.kind, i.textContent]),
  );

  let stream = null;
  let reopening = 0;
  let waiting = []; // at most ROWS_MAX rows not drawn yet, oldest first
  let dropped = 0; // rows that did not fit into it
  let drawing = false;
  let held = false;

  function hands(instant) {
    const at = new Date(instant + ZONE_MS);
    return `${pad(at.getUTCHours())}:${pad(at.getUTCMinutes())}:${pad(at.getUTCSeconds())}`;
  }

  function dated(instant) {
    const [then, today] = [new Date(instant + ZONE_MS), new Date(Date.now() + ZONE_MS)];
    if (then.toISOString().slice(0, 10) === today.toISOString().slice(0, 10)) return hands(instant);
    return `${pad(then.getUTCMonth() + 1)}-${pad(then.getUTCDate())} ${hands(instant)}`;
  }

  const named = (select, value) =>
    [...form.elements[select].options].find((option) => option.value && option.value === value)?.text ?? value;

  function cell(className, ...content) {
    const td = document.createElement("td");
    td.setAttribute("role", "cell"); // kept where the style makes a card of the row
    td.className = className;
    td.append(...content);
    return td;
  }

  const chip = (colour) => $(colour)?.content.cloneNode(true) ?? colour;

  function cause({ source, type }) {
    if (!source) return [table.dataset.byTime];
    const path = document.createElement("span");
    path.className = "path";
    path.textContent = source;
    path.title = type ?? "";
    return [sources[source.split("/")[1]] ?? "", path];
  }

  function row(change) {
    const tr = document.createElement("tr");
    tr.setAttribute("role", "row");
    tr.dataset.colour = change.after.colour;
    tr.append(
      cell("time", dated(Date.parse(change.at))),
      cell("turn", chip(change.before.colour), " → ", chip(change.after.colour)),
      cell("city", change.city ? named("city", `${change.city.slice(0, 4)}00`) : "—"),
      cell("why", (change.after.reasons ?? []).map((rank) => named("reason", String(rank))).join(" · ") || "—"),
      cell("cause", ...cause(change.cause ?? {})),
      cell("person", `${change.person.slice(0, 7)}…${change.person.slice(-4)}`),
    );
    return tr;
  }

  function note(words) {
    const tr = document.createElement("tr");
    tr.setAttribute("role", "row");
    tr.className = "gap";
    const td = cell("", words);
    td.colSpan = 6;
    tr.append(td);
    return tr;
  }

  function push(tr) {
    waiting.push(tr);
    if (waiting.length > ROWS_MAX) {
      waiting.shift();
      dropped += 1;
    }
    if (held) $("held").textContent = $("held").dataset.words.replace("{n}", waiting.length + dropped);
    else if (!drawing) {
      drawing = true;
      requestAnimationFrame(draw);
    }
  }

  function draw() {
    drawing = false;
    if (held || !waiting.length) return;
    if (dropped) waiting.unshift(note(table.dataset.dropped.replace("{n}", dropped)));
    rows.querySelector(".empty")?.remove();
    rows.prepend(...waiting.reverse());
    waiting = [];
    dropped = 0;
    while (rows.rows.length > ROWS_MAX) rows.lastElementChild.remove();
  }

  function linked(state) {
    const link = $("connection");
    if (link.dataset.link === state) return;
    link.dataset.link = state;
    link.querySelector("[data-word]").textContent = link.dataset[state];
  }

  function open() {
    stream?.close();
    clearTimeout(reopening);
    const asked = new URLSearchParams();
    for (const name of ["city", "reason", "source"]) {
      const value = form.elements[name].value.trim();
      if (value) asked.set(name, value);
    }
    stream = new EventSource(`/v1/changes?${asked}`);
    stream.onopen = () => linked("live");
    stream.onerror = () => {
      linked("reconnecting");
      if (stream.readyState === EventSource.CLOSED) reopening = setTimeout(open, REOPEN_MS);
    };
    const told = (event) => push(row(JSON.parse(event.data).data));
    stream.addEventListener("change", told);
    stream.addEventListener("gap", () => push(note(table.dataset.gap)));
  }

  async function count() {
    if (document.hidden) return;
    try {
      const answer = await fetch(`/dashboard/counts?lang=${language}`, {
        cache: "no-store",
        signal: AbortSignal.timeout(ANSWER_MS),
      });
      $("counts").innerHTML = await answer.text(); // our own server's markup; it escapes
      $("old").hidden = true;
    } catch {
      $("old").hidden = false; // the last counts stay, marked
    }
  }

  function repaint() {
    if (document.hidden) return;
    for (const [element, attribute] of [[$("narrow"), "srcset"], [$("wide"), "src"]]) {
      const url = new URL(element.getAttribute(attribute), location.href);
      url.searchParams.set("at", Date.now());
      element.setAttribute(attribute, url.pathname + url.search);
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const asked = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    history.replaceState(null, "", `?${asked}`);
    waiting = [];
    dropped = 0;
    rows.replaceChildren();
    linked("connecting");
    open();
  });
  for (const select of form.querySelectorAll("select")) {
    select.addEventListener("change", () => form.requestSubmit());
  }
  $("hold").hidden = false;
  $("hold").addEventListener("click", () => {
    held = !held;
    $("hold").setAttribute("aria-pressed", String(held));
    $("hold").textContent = held ? $("hold").dataset.on : $("hold").dataset.off;
    $("held").textContent = "";
    if (!held) draw();
  });

  function tick() {
    document.querySelector("[data-clock]").textContent = hands(Date.now());
    setTimeout(tick, 1000 - (Date.now() % 1000));
  }

  tick();
  open();
  setInterval(count, COUNTS_MS);
  setInterval(repaint, CHART_MS);
  addEventListener("pagehide", () => stream?.close());
  addEventListener("pageshow", (event) => event.persisted && open());
})();
