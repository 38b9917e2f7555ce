// The page that replaces any other while there is no network. It shows the clock and what this
// device was last told, and gives way as soon as the view answers.
"use strict";

(() => {
  const KEPT_MS = 24 * 3600 * 1000;
  const ASK_MS = 5000;
  const ANSWER_MS = 4000;
  const TURN_MS = 20000; // what this phone signed is good for half a minute
  const PROOF_VERSION = 12;
  const ZONE = "Asia/Shanghai";
  const HANDS = new Intl.DateTimeFormat("en-GB", { timeZone: ZONE, timeStyle: "medium" });
  const DAY = { timeZone: ZONE, dateStyle: "medium" };

  const last = kept("last").read();
  const told = last && Date.now() - last.at < KEPT_MS ? last : null;
  const $ = (name) => document.querySelector(`[data-${name}]`);

  // Only where a code was asked for did showing one fail.
  if (location.pathname !== "/code" && location.pathname !== "/offline") {
    for (const words of document.querySelectorAll("template[data-elsewhere]")) {
      $(words.dataset.elsewhere).replaceChildren(words.content);
    }
    document.title = document.querySelector("#word .first").textContent;
  }

  if (told) {
    for (const part of ["first", "second", "holder"]) $(`last-${part}`).textContent = told[part];
    const when = [document.documentElement.lang, DAY];
    const at = new Date(told.at);
    $("last-at").textContent = `${at.toLocaleDateString(...when)} ${HANDS.format(at)}`;
    for (const step of told.steps ?? []) {
      $("steps").querySelector("ol").append(document.createElement("li"));
      $("steps").querySelector("li:last-child").textContent = step;
    }
    $("steps").hidden = !told.steps?.length;
  }
  $(told ? "last" : "no-last").hidden = false;

  // What this device may show by itself. It has no colour: a terminal reads it.
  async function turn() {
    const text = await wallet.show(null);
    const place = $("proof");
    place.closest("section").hidden = !text;
    if (text) qrDraw(place, text, PROOF_VERSION);
  }

  async function ask() {
    const signal = AbortSignal.timeout(ANSWER_MS);
    try {
      await fetch("/livez", { cache: "no-store", signal });
    } catch {
      return;
    }
    location.reload();
  }

  function run() {
    $("hands").textContent = HANDS.format(Date.now());
    setTimeout(run, 1000 - (Date.now() % 1000));
  }

  run();
  turn();
  setInterval(turn, TURN_MS);
  setInterval(ask, ASK_MS);
  addEventListener("online", ask);
})();
