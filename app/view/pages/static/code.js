// Keeps the page at a gate alive: the clock, the QR, and the colour itself. The server renders
// every state. This script asks whether the state shown still holds; if it does not, it puts the
// server's own markup in place. A colour that cannot be confirmed is taken away.
//
// While the phone shows its code by itself (wallet.js) it asks for nothing but the status list, which
// is everybody's. Only the view itself knows what that cannot say: what has changed, what is known at
// all, whether the session goes on. So it is asked as soon as the list does not confirm the code, and
// now and then besides.
"use strict";

(() => {
  const POLL_MS = 5000;
  const UNCONFIRMED_MS = 20000; // three polls without an answer
  const ANSWER_MS = 4000; // less than a poll
  const LIST_OLD_MS = 10000; // beyond this the view knows more than the list
  const LIST_AGAIN_MS = 60000; // else there are two questions in place of one, when there are most
  const ASK_MS = 15 * 60000; // half of what ends a session that nobody uses
  const TURN_MS = 20000; // what this phone signed is good for half a minute
  const PROOF_VERSION = 12;
  const ZONE = "Asia/Shanghai";
  const HANDS = new Intl.DateTimeFormat("en-GB", { timeZone: ZONE, timeStyle: "medium" });
  const DAY = new Intl.DateTimeFormat("en-GB", { timeZone: ZONE, dateStyle: "short" });

  const body = document.body;
  const announce = document.getElementById("announce");
  let main = document.getElementById("state");
  let ahead = Number(main.dataset.now) - Date.now(); // the server's clock minus this device's
  // By the wall clock, not performance.now(), which stands still while a phone sleeps.
  let confirmed = 0;
  let asked = Date.now(); // when the view itself told this state
  let listWasOld = 0; // when
  let signed = false; // whether what stands there is this phone's own
  let drawn = Date.now();
  let turned = Date.now();
  let asking = false;

  const now = () => Date.now() + ahead;
  const coloured = () => main.dataset.state === "red" || main.dataset.state === "green";

  function forget() {
    kept("last").drop();
    wallet.drop();
  }

  // The state shown is the view's as of now. For a phone without a network (static/offline.js) a
  // colour's words are kept, and what it may show by itself (wallet.js).
  function confirm(at = Date.now()) {
    confirmed = at;
    if (main.dataset.state === "none") forget(); // it was another person's
    if (!coloured()) return;
    const said = (selector) => main.querySelector(selector).textContent;
    const [first, second] = [said("#word .first"), said("#word .second")];
    const steps = [...main.querySelectorAll(".tasks strong")].map((step) => step.textContent);
    kept("last").write({ first, second, holder: said(".holder"), at: confirmed + ahead, steps });
    wallet.renew(main.dataset, ahead).then((another) => another && turn());
  }

  // Returns the whole answer, or null if none came. `before` is the state that the server has told
  // already, so that one display is not counted as two.
  async function ask(url, accept, before) {
    const signal = AbortSignal.timeout(ANSWER_MS);
    try {
      const headers = { Accept: accept, "X-Before": before ?? main.dataset.state };
      const answer = await fetch(url, { headers, cache: "no-store", signal });
      if (answer.status === 401) {
        forget();
        location.reload(); // logged out, or away for too long: leads to the login
      }
      const epoch = answer.headers.get("x-epoch") ?? "";
      return { status: answer.status, text: await answer.text(), epoch };
    } catch {
      return null;
    }
  }

  const parsed = (text, type) => new DOMParser().parseFromString(text, type);

  function become(content) {
    const said = main.dataset.said;
    const folds = "details[data-fold]";
    const opened = [...main.querySelectorAll(folds)].filter((e) => e.open).map((e) => e.dataset.fold);
    main.replaceWith(content);
    main = document.getElementById("state");
    // What its reader has opened stays open.
    main.querySelectorAll(folds).forEach((e) => (e.open = opened.includes(e.dataset.fold)));
    body.dataset.state = main.dataset.state;
    if (main.dataset.said !== said) announce.textContent = main.dataset.said;
  }

  // Puts the page's newest state in place.
  async function refresh(before) {
    const answer = await ask(location.href, "text/html", before);
    if (!answer) return;
    const page = parsed(answer.text, "text/html");
    const fresh = page.getElementById("state");
    if (!fresh) return; // not our page, but perhaps a proxy's
    fresh.querySelectorAll("noscript").forEach((element) => element.remove());
    become(document.adoptNode(fresh));
    asked = Date.now();
    document.title = page.title;
    ahead = Number(main.dataset.now) - Date.now();
    confirm();
    if (main.dataset.token) draw(main.dataset.token);
  }

  function draw(token) {
    qrDraw(main.querySelector("[data-qr]"), token, Number(main.dataset.qrVersion));
    drawn = Date.now();
    signed = false;
    turn();
  }

  // Draws what this phone shows by itself, once it can, in the place of the server's token.
  // Without a network there is no colour; a terminal can read the code all the same.
  async function turn() {
    const place = main.querySelector("[data-qr], [data-proof]");
    if (!place) return;
    turned = Date.now();
    const text = await wallet.show(coloured() ? main.dataset : null);
    if (!place.isConnected) return;
    signed = Boolean(text);
    if (!text) return;
    qrDraw(place, text, PROOF_VERSION);
    place.closest("[hidden]")?.removeAttribute("hidden");
    drawn = Date.now();
  }

  function keyOf({ colour, version, reasons, lag_s }) {
    const old = lag_s !== null && lag_s > Number(main.dataset.notice);
    return colour === "none" ? colour : `${colour} ${version} ${reasons.map((r) => r.rank)} ${old}`;
  }

  // Says whether the list confirms what is shown.
  async function listed() {
    if (!signed || !coloured() || Math.abs(Date.now() - asked) > ASK_MS) return false;
    if (Math.abs(Date.now() - listWasOld) < LIST_AGAIN_MS) return false;
    const { key } = main.dataset;
    if (key.endsWith("true")) return false; // the page says that its data are old
    const until = await wallet.holdsUntil(main.dataset);
    // Where it says itself that its data are old, the view may say so of a code.
    const isOld = !(now() - until <= LIST_OLD_MS);
    if (isOld && until) listWasOld = Date.now();
    if (isOld || main.dataset.key !== key) return false;
    confirm(Math.min(until - ahead, Date.now()));
    return true;
  }

  async function check() {
    if (now() < Number(main.dataset.retry ?? 0) || (await listed())) return;
    const answer = await ask(main.dataset.display, "application/json");
    if (!answer) return;
    if (answer.status !== 200) return refresh(answer.status === 503 ? "unavailable" : undefined);
    const shown = JSON.parse(answer.text);
    if (keyOf(shown.code) !== main.dataset.key) return refresh(shown.code.colour);
    main.dataset.epoch = answer.epoch;
    asked = Date.now();
    confirm();
    if (shown.token && Date.now() - drawn > Number(main.dataset.qrValid) / 2) draw(shown.token);
  }

  // One question at a time. If no answer comes nothing happens here: `tick` takes the colour away.
  async function alone(question) {
    if (asking || document.hidden || !main.dataset.display) return;
    asking = true;
    try {
      await question();
    } finally {
      asking = false;
    }
  }

  function lose() {
    const lost = main.cloneNode(false);
    Object.assign(lost.dataset, { state: "unavailable", key: "lost" });
    delete lost.dataset.changes;
    lost.append(document.getElementById("lost").content.cloneNode(true));
    lost.querySelector("[data-confirmed]").textContent = HANDS.format(confirmed + ahead);
    lost.dataset.said = document.title = lost.querySelector("h1 .first").textContent;
    become(lost);
    turn();
  }

  function tick() {
    if (coloured() && Math.abs(Date.now() - confirmed) > UNCONFIRMED_MS) lose();
    if (Date.now() - turned > TURN_MS) turn();
    main.querySelector("[data-hands]").textContent = HANDS.format(now());
    // Asks each second until it is answered: a question may be lost, or come while another is open.
    const lost = main.dataset.state === "unavailable"; // this page asks at its own pace
    const midnight = DAY.format(now()) !== DAY.format(Number(main.dataset.now)); // its date is over
    if ((midnight && !lost) || now() >= Number(main.dataset.changes ?? Infinity)) alone(() => refresh());
  }

  function run() {
    tick();
    setTimeout(run, 1000 - (now() % 1000));
  }

  function wake() {
    if (document.hidden) return;
    tick();
    alone(() => refresh());
  }

  async function copy({ target }) {
    const button = target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    announce.textContent = button.textContent = button.dataset.copied;
  }

  document.addEventListener("click", copy);
  document.addEventListener("visibilitychange", wake);
  addEventListener("pageshow", (event) => event.persisted && wake());
  // While there is a network all works without it. Some browsers refuse it in private windows.
  addEventListener("load", () => navigator.serviceWorker?.register(body.dataset.worker).catch(() => {}));
  confirm();
  if (main.dataset.token) draw(main.dataset.token);
  run();
  setInterval(() => alone(check), POLL_MS);
})();
