// The duty officer's page: lists the newest changes as they are told, and fetches the counts
// again. Names come from the page's own markup, so they stand in one place.
"use strict";

(() => {
  const ROWS_MAX = 200; // rows kept; the oldest goes when a newer one comes
  const COUNTS_MS = 5000;
  const REOPEN_MS = 5000; // the wait after the browser itself gave up
  const ANSWER_MS = 4000;
  const HANDS = new Intl.DateTimeFormat("en-GB", { timeZone: "Asia/Shanghai", timeStyle: "medium" });
  const DAY = new Intl.DateTimeFormat("en-CA", { timeZone: "Asia/Shanghai" });

  const DATE = new Intl.DateTimeFormat(document.documentElement.lang, {
    timeZone: "Asia/Shanghai", dateStyle: "full",
  });

  const $ = (id) => document.getElementById(id);
  const form = $("filters");
  const table = $("changes");
  const hold = $("hold");

  let stream = null;
  let reopening = 0;
  let last = ""; // the place in the stream after the newest change that was told
  let number = 0; // of the newest change that was told, by arrival
  let waiting = []; // at most ROWS_MAX rows not drawn yet, oldest first
  let dropped = 0; // rows that did not fit into `waiting`
  let heldAt = ""; // when the list was held; nothing while it is not

  const rows = () => table.tBodies[0];

  function dated(instant) {
    const [day, today] = [DAY.format(instant), DAY.format(Date.now())];
    return day === today ? HANDS.format(instant) : `${day.slice(5)} ${HANDS.format(instant)}`;
  }

  // A place by its city, else by its province, as the server names it.
  const place = (code) =>
    [code, `${code.slice(0, 4)}00`, code.slice(0, 2)]
      .map((part) => $("places").content.querySelector(`[data-code="${part}"]`)?.textContent)
      .find(Boolean) ?? code;

  const reasoned = (rank) =>
    [...form.elements.reason.options].find((option) => option.value === String(rank))?.text ?? rank;

  const chip = (colour) => $(colour).content.cloneNode(true);

  function cause({ source, type }) {
    if (!source) return [table.dataset.byTime];
    const kinds = $("sources").content;
    const kind =
      source.startsWith("/provinces/")
        ? place(source.split("/")[2])
        : (kinds.querySelector(`[data-kind="${source.split("/")[1]}"]`) ?? kinds.lastElementChild).textContent;
    const path = $("path").content.cloneNode(true).firstElementChild;
    path.textContent = source;
    path.title = type ?? "";
    return [`${kind} `, path];
  }

  function row({ at, before, after, city, cause: by = {} }) {
    const made = $("row").content.cloneNode(true).firstElementChild;
    const instant = Date.parse(at);
    const why = (after.reasons ?? []).map(reasoned).join(" · ") || "—";
    const fill = (name, ...content) => made.querySelector(`.${name}`).append(...content);
    made.dataset.at = instant;
    made.dataset.number = number;
    fill("time", dated(instant));
    fill("turn", chip(before.colour), " → ", chip(after.colour));
    fill("city", city ? place(city) : "—");
    fill("why", why);
    made.querySelector(".why").title = why;
    fill("cause", ...cause(by));
    return made;
  }

  function note(words, at, order) {
    const made = $("note").content.cloneNode(true).firstElementChild;
    Object.assign(made.dataset, { at, number: order });
    made.firstElementChild.textContent = words;
    return made;
  }

  const instants = (list) => [...list].map((tr) => Number(tr.dataset.at ?? 0));

  // What is missing stands above all that was told before it.
  const missing = () =>
    note(table.dataset.gap, Math.max(0, ...instants(rows().rows), ...instants(waiting)), number + 0.5);

  // What is left out stands below all that is put in now.
  const omitted = () =>
    note(table.dataset.dropped.replace("{n}", dropped), Math.min(...instants(waiting)), 0);

  function push(tr) {
    if (!waiting.length && !heldAt) requestAnimationFrame(draw);
    waiting.push(tr);
    if (waiting.length > ROWS_MAX) {
      waiting.shift();
      dropped += 1;
    }
    tell();
  }

  const later = (a, b) =>
    Number(b.dataset.at) - Number(a.dataset.at) || Number(b.dataset.number) - Number(a.dataset.number);

  function draw() {
    if (heldAt || !waiting.length) return;
    if (dropped) waiting.unshift(omitted());
    rows().querySelector(".waiting")?.remove();
    // Changes of one partition may be told some seconds after those of another: each has its place.
    let before = rows().firstElementChild;
    for (const tr of waiting.sort(later)) {
      while (before && later(before, tr) < 0) before = before.nextElementSibling;
      rows().insertBefore(tr, before);
    }
    forget();
    while (rows().rows.length > ROWS_MAX) rows().lastElementChild.remove();
  }

  function forget() {
    waiting = [];
    dropped = 0;
    tell();
  }

  function tell() {
    const said = $("held");
    const words = said.dataset.words.replace("{t}", heldAt).replace("{n}", waiting.length + dropped);
    said.textContent = heldAt ? words : "";
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
    if (last) filters.set("after", last);
    stream = new EventSource(`/v1/changes?${filters}`);
    stream.onopen = opened;
    stream.onerror = () => {
      linked("reconnecting");
      if (stream.readyState === EventSource.CLOSED) reopening = setTimeout(open, REOPEN_MS);
    };
    stream.addEventListener("change", (event) => {
      passed(event);
      push(row(JSON.parse(event.data)));
    });
    stream.addEventListener("gap", (event) => {
      passed(event);
      push(missing());
    });
  }

  function passed({ lastEventId }) {
    last = lastEventId || last;
    number = Number(lastEventId.split("-")[1]) || number + 1;
  }

  // Takes over the rows that the page came with, or that were fetched for a filter.
  function begin() {
    last = rows().dataset.last;
    number = Number(last.split("-")[1] ?? 0);
    open();
  }

  async function list() {
    forget();
    stream?.close();
    linked("connecting");
    try {
      const signal = AbortSignal.timeout(ANSWER_MS);
      const answer = await fetch(`/dashboard/changes?${asked()}`, { cache: "no-store", signal });
      if (answer.status === 401) location.reload(); // the shift is over: to the login, and back
      const part = document.createElement("template");
      part.innerHTML = await answer.text(); // our own server's markup; it escapes
      rows().replaceWith(part.content.firstElementChild);
    } catch {
      rows().replaceChildren();
    }
    begin();
  }

  async function count() {
    if (document.hidden) return;
    const signal = AbortSignal.timeout(ANSWER_MS);
    try {
      const address = `/dashboard/counts?lang=${form.elements.lang.value}`;
      const answer = await fetch(address, { cache: "no-store", signal });
      if (answer.status === 401) location.reload();
      $("counts").innerHTML = await answer.text(); // our own server's markup; it escapes
      $("old").hidden = true;
      opened();
    } catch {
      $("old").hidden = false; // the last counts stay, marked
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    history.replaceState(null, "", `?${asked()}`);
    list();
  });
  for (const select of form.querySelectorAll("select")) {
    select.addEventListener("change", () => form.requestSubmit());
  }
  $("clear").addEventListener("click", (event) => {
    event.preventDefault();
    for (const name of ["city", "reason", "source"]) form.elements[name].value = "";
    form.requestSubmit();
  });
  hold.hidden = false;
  hold.addEventListener("click", () => {
    heldAt = heldAt ? "" : HANDS.format(Date.now());
    hold.textContent = heldAt ? hold.dataset.resume : hold.dataset.hold;
    tell();
    draw();
  });

  function run() {
    document.querySelector("[data-clock]").textContent = HANDS.format(Date.now());
    document.querySelector("[data-day]").textContent = DATE.format(Date.now());
    setTimeout(run, 1000 - (Date.now() % 1000));
  }

  run();
  begin();
  setInterval(count, COUNTS_MS);
  addEventListener("pagehide", () => stream.close());
  addEventListener("pageshow", (event) => event.persisted && list());
})();
