// Keeps the page at a gate alive: the clock, the QR, and the colour itself. The server renders
// every state; this asks whether it changed and puts the server's own markup in place.
"use strict";

(() => {
  const POLL_MS = 3000;
  const QR_MS = 30000; // a token outlives this; see the display token's lifetime
  const UNCONFIRMED_MS = 10000; // so long without an answer is said on the page
  const LOST_MS = 60000; // and so long without one takes the colour away
  const ANSWER_MS = 8000;
  const ZONE_MS = 8 * 3600 * 1000; // Asia/Shanghai has no summer time

  const body = document.body;
  const announce = document.getElementById("announce");
  const zh = document.documentElement.lang.startsWith("zh");
  const pad = (n) => String(n).padStart(2, "0");
  const WEEKDAYS_EN = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
  const MONTHS_EN = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

  let main = document.getElementById("state");
  let offset = Number(main.dataset.now) - Date.now(); // server's clock minus this device's
  let confirmed = performance.now();
  let paused = false;
  let refreshing = false;
  let refreshedAt = 0; // performance.now() of the last try at the whole page

  const now = () => Date.now() + offset;
  const confirmedAt = () => now() - (performance.now() - confirmed);

  function hands(instant) {
    const at = new Date(instant + ZONE_MS);
    return `${pad(at.getUTCHours())}:${pad(at.getUTCMinutes())}:${pad(at.getUTCSeconds())}`;
  }

  function date(instant) {
    const at = new Date(instant + ZONE_MS);
    const [y, m, d, w] = [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate(), at.getUTCDay()];
    return zh
      ? `${y}年${m + 1}月${d}日 星期${"日一二三四五六"[w]}`
      : `${WEEKDAYS_EN[w]}, ${d} ${MONTHS_EN[m]} ${y}`;
  }

  async function ask(url, accept) {
    return fetch(url, {
      headers: { Accept: accept },
      cache: "no-store",
      signal: AbortSignal.timeout(ANSWER_MS),
    });
  }

  // Puts the server's newest markup of this page in place, and says aloud what changed.
  async function refresh() {
    if (refreshing) return;
    refreshing = true;
    refreshedAt = performance.now();
    try {
      const answer = await ask(location.href, "text/html");
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("state");
      if (!fresh) return; // not our page: a proxy's, say; the next poll decides
      const turned = fresh.dataset.say !== main.dataset.say;
      fresh.querySelectorAll("noscript").forEach((element) => element.remove());
      main.replaceWith(document.adoptNode(fresh));
      main = document.getElementById("state");
      body.dataset.state = main.dataset.state;
      document.title = page.title;
      offset = Number(main.dataset.now) - Date.now();
      confirmed = performance.now();
      body.classList.remove("lost");
      if (turned) announce.textContent = main.dataset.say;
      settle();
    } catch {
      // No answer: `unconfirmed` says so on the page once it has lasted.
    } finally {
      refreshing = false;
    }
  }

  async function poll() {
    if (document.hidden || !main.dataset.code) return;
    if (main.dataset.retry) {
      if (now() >= Number(main.dataset.retry) && performance.now() - refreshedAt > POLL_MS) await refresh();
      return;
    }
    try {
      const answer = await ask(main.dataset.code, "application/json");
      if (answer.status >= 500) return refresh();
      const code = await answer.json();
      const none = answer.status === 404;
      const [colour, version] = none ? ["none", 0] : [code.colour, code.version];
      confirmed = performance.now();
      const changed =
        colour !== main.dataset.state ||
        (colour !== "none" && Number(version) !== Number(main.dataset.version));
      const marked = main.querySelector("[data-offline]") !== null;
      if (changed || marked || body.classList.contains("lost")) await refresh();
    } catch {
      // As above.
    }
  }

  function unconfirmed() {
    if (main.dataset.retry || !main.dataset.code) return;
    const silent = performance.now() - confirmed;
    if (silent < UNCONFIRMED_MS) return;
    if (!body.classList.contains("lost") && !main.querySelector("[data-offline]")) {
      const notice = document.getElementById("offline").content.cloneNode(true);
      notice.querySelector("[data-checked]").textContent = hands(confirmedAt());
      announce.textContent = notice.querySelector(".first").textContent;
      main.querySelector(".card").prepend(notice);
    }
    if (silent > LOST_MS && !body.classList.contains("lost")) {
      main.replaceChildren(document.getElementById("lost").content.cloneNode(true));
      main.querySelector("[data-checked]").textContent = hands(confirmedAt());
      body.dataset.state = "unavailable";
      body.classList.add("lost");
      announce.textContent = main.querySelector("h1").textContent;
    }
  }

  async function redraw() {
    const qr = main.querySelector("[data-qr]");
    if (!qr || paused || document.hidden || body.classList.contains("lost")) return;
    try {
      const answer = await ask(`${main.dataset.code}.svg`, "image/svg+xml");
      if (!answer.ok) return;
      const drawn = new DOMParser().parseFromString(await answer.text(), "image/svg+xml").documentElement;
      if (drawn.nodeName === "svg" && qr.isConnected) qr.replaceChildren(document.adoptNode(drawn));
    } catch {
      // The old one stays until its token expires; `unconfirmed` speaks for the connection.
    }
  }

  // What depends on scripts appears only with them.
  function settle() {
    const button = main.querySelector("[data-pause]");
    if (!button) return;
    button.hidden = false;
    button.textContent = paused ? button.dataset.on : button.dataset.off;
    button.setAttribute("aria-pressed", String(paused));
    main.classList.toggle("paused", paused);
    main.querySelector(".turning").hidden = paused;
    main.querySelector(".halted").hidden = !paused;
  }

  function tick() {
    const instant = now();
    const time = main.querySelector("[data-hands]");
    if (time) {
      time.textContent = hands(instant);
      main.querySelector("[data-date]").textContent = date(instant);
    }
    if (main.dataset.changes && instant >= Number(main.dataset.changes)) {
      if (performance.now() - refreshedAt > POLL_MS) refresh();
    }
    unconfirmed();
    setTimeout(tick, 1000 - (now() % 1000));
  }

  body.addEventListener("click", (event) => {
    if (!event.target.closest("[data-pause]")) return;
    paused = !paused;
    settle();
    if (!paused) redraw();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh();
  });
  addEventListener("pageshow", (event) => {
    if (event.persisted) refresh();
  });

  settle();
  tick();
  setInterval(poll, POLL_MS);
  setInterval(redraw, QR_MS);
})();
