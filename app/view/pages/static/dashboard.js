// The duty officer's page: lists the newest changes as they are told, and fetches the counts and the
// chart again. Names come from the page's own markup, so they stand in one place.
"use strict";

(() => {
  const ROWS_MAX = 200; // rows kept; the oldest goes when a newer one comes
  const COUNTS_MS = 5000;
  const CHART_MS = 15000;
  const REOPEN_MS = 5000; // the wait after the browser itself gave up
  const ANSWER_MS = 4000;
  const HANDS = new Intl.DateTimeFormat("en-GB", { timeZone: "Asia/Shanghai", timeStyle: "medium" });
  const DAY = new Intl.DateTimeFormat("en-CA", { timeZone: "Asia/Shanghai" });

  const $ = (id) => document.getElementById(id);
  const form = $("filters");
  const table = $("changes");
  const rows = table.tBodies[0];
  const hold = $("hold");

  let stream = null;
  let reopening = 0;
  let waiting = []; // at most ROWS_MAX rows not drawn yet, oldest first
  let dropped = 0; // rows that did not fit into `waiting`
  let held = false;

  function element(name, role, className, ...content) {
    const made = document.createElement(name);
    made.setAttribute("role", role);
    made.className = className;
    made.append(...content);
    return made;
  }

  const cell = (className, ...content) => element("td", "cell", className, ...content);

  function dated(instant) {
    const [day, today] = [DAY.format(instant), DAY.format(Date.now())];
    return day === today ? HANDS.format(instant) : `${day.slice(5)} ${HANDS.format(instant)}`;
  }

  const named = (select, value) =>
    [...form.elements[select].options].find((option) => option.value === value)?.text ?? value;

  const chip = (colour) => $(colour).content.cloneNode(true);

  function cause({ source, type }) {
    if (!source) return [table.dataset.byTime];
    const kind = $("sources").content.querySelector(`[data-kind="${source.split("/")[1]}"]`);
    const path = element("span", "none", "path", source);
    path.title = type ?? "";
    return [kind?.textContent ?? "", path];
  }

  function row({ at, before, after, city, cause: by = {} }) {
    const reasons = (after.reasons ?? []).map((rank) => named("reason", String(rank)));
    return element(
      "tr",
      "row",
      "",
      cell("time", dated(Date.parse(at))),
      cell("turn", chip(before.colour), " → ", chip(after.colour)),
      cell("city", city ? named("city", `${city.slice(0, 4)}00`) : "—"),
      cell("why", reasons.join(" · ") || "—"),
      cell("cause", ...cause(by)),
    );
  }

  function note(words) {
    const said = cell("", words);
    said.colSpan = 5;
    return element("tr", "row", "gap", said);
  }

  function push(tr) {
    if (!waiting.length && !held) requestAnimationFrame(draw);
    waiting.push(tr);
    if (waiting.length > ROWS_MAX) {
      waiting.shift();
      dropped += 1;
    }
    if (held) $("held").textContent = $("held").dataset.words.replace("{n}", waiting.length + dropped);
  }

  function draw() {
    if (held || !waiting.length) return;
    if (dropped) waiting.unshift(note(table.dataset.dropped.replace("{n}", dropped)));
    rows.querySelector(".waiting")?.remove();
    rows.prepend(...waiting.reverse());
    forget();
    while (rows.rows.length > ROWS_MAX) rows.lastElementChild.remove();
  }

  function forget() {
    waiting = [];
    dropped = 0;
    $("held").textContent = "";
  }

  // The stream is open. The view tells changes only if it has figures too.
  function opened() {
    if (stream.readyState !== EventSource.OPEN) return;
    linked($("counts").querySelector("[data-counted]") ? "live" : "starved");
  }

  function linked(state) {
    const link = $("connection");
    if (link.dataset.link === state) return;
    link.dataset.link = state;
    link.querySelector("[data-word]").textContent = link.dataset[state];
  }

  function asked() {
    return new URLSearchParams([...new FormData(form)].filter(([, value]) => value.trim()));
  }

  function open() {
    stream?.close();
    clearTimeout(reopening);
    const filters = asked();
    filters.delete("lang");
    stream = new EventSource(`/v1/changes?${filters}`);
    stream.onopen = opened;
    stream.onerror = () => {
      linked("reconnecting");
      if (stream.readyState === EventSource.CLOSED) reopening = setTimeout(open, REOPEN_MS);
    };
    stream.addEventListener("change", (event) => push(row(JSON.parse(event.data))));
    stream.addEventListener("gap", () => push(note(table.dataset.gap)));
  }

  async function count() {
    if (document.hidden) return;
    const signal = AbortSignal.timeout(ANSWER_MS);
    try {
      const address = `/dashboard/counts?lang=${form.elements.lang.value}`;
      const answer = await fetch(address, { cache: "no-store", signal });
      $("counts").innerHTML = await answer.text(); // our own server's markup; it escapes
      $("old").hidden = true;
      opened();
    } catch {
      $("old").hidden = false; // the last counts stay, marked
    }
  }

  function repaint() {
    if (document.hidden) return;
    for (const [picture, attribute] of [[$("narrow"), "srcset"], [$("wide"), "src"]]) {
      const url = new URL(picture.getAttribute(attribute), location.href);
      url.searchParams.set("at", Date.now());
      picture.setAttribute(attribute, url.pathname + url.search);
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    history.replaceState(null, "", `?${asked()}`);
    forget();
    rows.replaceChildren();
    linked("connecting");
    open();
  });
  for (const select of form.querySelectorAll("select")) {
    select.addEventListener("change", () => form.requestSubmit());
  }
  hold.hidden = false;
  hold.addEventListener("click", () => {
    held = !held;
    hold.setAttribute("aria-pressed", String(held));
    if (!held) draw();
  });

  function run() {
    document.querySelector("[data-clock]").textContent = HANDS.format(Date.now());
    setTimeout(run, 1000 - (Date.now() % 1000));
  }

  run();
  open();
  setInterval(count, COUNTS_MS);
  setInterval(repaint, CHART_MS);
  addEventListener("pagehide", () => stream.close());
  addEventListener("pageshow", (event) => event.persisted && open());
})();
