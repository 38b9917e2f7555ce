// Keeps a travel card alive: a clock that runs, and each minute the card as it is now. A card that
// could not be asked for again has no running clock, and says so.
"use strict";

(() => {
  const ASK_MS = 60000;
  const ANSWER_MS = 4000;
  const OLD_MS = 150000; // two questions without an answer
  const ZONE = "Asia/Shanghai";
  const HANDS = new Intl.DateTimeFormat("en-GB", { timeZone: ZONE, timeStyle: "medium" });

  let card = document.getElementById("card");
  let ahead = 0; // the server's clock minus this device's
  let confirmed = 0; // by the wall clock, which goes on while a phone sleeps
  let asking = false;

  function begin() {
    ahead = Number(card.dataset.now) - Date.now();
    confirmed = Date.now();
  }

  async function ask() {
    if (asking || document.hidden) return;
    asking = true;
    try {
      const signal = AbortSignal.timeout(ANSWER_MS);
      const headers = { Accept: "text/html" };
      const answer = await fetch(location.href, { headers, cache: "no-store", signal });
      if (answer.status === 401) location.reload(); // logged out: leads to the login
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("card");
      if (fresh) {
        fresh.querySelectorAll("noscript").forEach((element) => element.remove());
        card.replaceWith(document.adoptNode(fresh));
        card = fresh;
        begin();
      } else if (answer.ok) location.reload(); // the phone is no longer kept
    } catch {
      // `run` says it, if it lasts
    } finally {
      asking = false;
    }
    tick();
  }

  function tick() {
    const old = Math.abs(Date.now() - confirmed) > OLD_MS;
    card.querySelector("[data-clock]").hidden = old;
    card.querySelector("[data-old]").hidden = !old;
    card.querySelector("[data-hands]").textContent = HANDS.format(Date.now() + ahead);
  }

  function run() {
    tick();
    setTimeout(run, 1000 - ((Date.now() + ahead) % 1000));
  }

  document.addEventListener("visibilitychange", ask);
  addEventListener("pageshow", (event) => event.persisted && ask());
  addEventListener("online", ask);
  begin();
  run();
  setInterval(ask, ASK_MS);
})();
