// The terminal of a guard: reads a code with the camera, asks the view, and shows the outcome until
// the guard says "next". Without an answer the scan waits in this device, and no colour is shown
// unless the text can be checked here (offline_check.js). The page has all words.
"use strict";

(() => {
  // From each state, which event leads where. Any other event is let pass.
  const STATES = {
    setup: { begin: "looking", token: "token" },
    token: { read: "setup", back: "setup" },
    looking: { read: "asking", back: "setup" },
    asking: { answered: "shown", refused: "setup" },
    shown: { next: "looking" },
  };
  const READ_MS = 200;
  const SAME_MS = 3000; // the phone of before may still be there after "next"
  const ANSWER_MS = 3000; // a guard does not wait longer
  const FLUSH_MS = 15000;
  const TERMINAL = /^\/terminals\/([a-z0-9-]+)$/;
  const HANDS = new Intl.DateTimeFormat("en-GB", { timeZone: "Asia/Shanghai", timeStyle: "medium" });

  const { body } = document;
  const $ = (name) => document.querySelector(`[data-${name}]`);
  const form = document.getElementById("begin");
  const video = document.querySelector("video");
  const still = document.getElementById("still");
  const torch = document.getElementById("torch");
  const next = document.getElementById("next");
  const camera = makeCamera(video);
  const reader = makeReader();
  const settings = kept("gate-terminal");
  const queue = makeQueue(again, (waiting, dropped) => {
    for (const [name, count] of Object.entries({ waiting, dropped })) {
      $(`${name}`).hidden = !count;
      $(`${name}`).querySelector("b").textContent = count;
    }
  });

  let state = "setup";
  let last = { text: null, at: 0 };
  let wakeLock = null;

  function go(event) {
    const to = STATES[state][event];
    if (!to) return false;
    state = body.dataset.state = to;
    document.getElementById("setup").hidden = state !== "setup";
    document.getElementById("looking").hidden = !["token", "looking", "asking"].includes(state);
    document.getElementById("shown").hidden = state !== "shown";
    for (const words of document.querySelectorAll("[data-while]")) {
      words.hidden = words.dataset.while !== state;
    }
    if (state !== "shown") delete body.dataset.outcome;
    if (state === "shown") next.focus();
    else if (state !== "asking") document.querySelector("main").focus({ preventScroll: true });
    if (state === "setup") rest();
    return true;
  }

  // Settings

  // Which terminal's the token is, as it says itself; the view checks that with each scan.
  function terminalOf(token) {
    try {
      const [, claims] = token.split(".");
      const { sub, source } = JSON.parse(atob(claims.replaceAll("-", "+").replaceAll("_", "/")));
      return (source ?? sub).match(TERMINAL)?.[1];
    } catch {
      return undefined;
    }
  }

  function remembered() {
    const { token = "", place = "" } = settings.read() ?? {};
    const terminal = terminalOf(token);
    form.elements.place.value ||= place;
    for (const name of document.querySelectorAll("[data-terminal]")) name.textContent = terminal ?? "";
    $("place").textContent = place;
    $("known").hidden = !terminal;
    $("unknown").hidden = Boolean(terminal);
    form.elements.token.required = !terminal;
    return { token, place };
  }

  function fault(which) {
    for (const words of document.querySelectorAll("[data-fault]")) {
      words.hidden = words.dataset.fault !== which;
    }
  }

  function takeToken(token) {
    if (!terminalOf(token)) return fault("no-token");
    settings.write({ ...settings.read(), token });
    form.elements.token.value = "";
    remembered();
    fault(null);
  }

  async function begin(event) {
    event.preventDefault();
    fault(null);
    sounds.allow();
    const { token, place } = form.elements;
    if (token.value) takeToken(token.value.trim());
    settings.write({ ...settings.read(), place: place.value.trim() });
    if (!remembered().token) return fault("no-token");
    if (go("begin")) await awake();
  }

  function forget() {
    settings.drop();
    form.elements.place.value = "";
    remembered();
    form.elements.token.focus();
  }

  // The camera

  async function awake() {
    if (document.hidden || !["token", "looking"].includes(state)) return;
    try {
      await camera.start();
      $("no-camera").hidden = true;
    } catch {
      $("no-camera").hidden = false;
    }
    torch.hidden = !camera.hasLight();
    wakeLock = await navigator.wakeLock?.request("screen").catch(() => null);
  }

  function rest() {
    camera.stop();
    torch.setAttribute("aria-pressed", "false");
    wakeLock?.release();
    wakeLock = null;
  }

  // What cannot be read now may be in the next picture.
  const read = async (source) => (await reader)(source).catch(() => null);

  async function look() {
    const looking = ["token", "looking"].includes(state) && !document.hidden;
    if (looking && video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) {
      const text = await read(video);
      const same = text === last.text && Date.now() - last.at < SAME_MS;
      if (text && !same) await seen(text);
    }
    setTimeout(look, READ_MS);
  }

  async function lookAt(file) {
    const text = await createImageBitmap(file).then(read, () => null);
    $("no-code").hidden = Boolean(text);
    if (text) await seen(text);
  }

  async function seen(text) {
    $("no-code").hidden = true;
    const before = state;
    if (!go("read")) return;
    if (before === "token") return takeToken(text);
    // Whatever fails in this browser, the guard gets an outcome, and can go on.
    const told = await judge(text).catch(() => ({ outcome: "unreachable" }));
    last = { text, at: Date.now() };
    if (told.fault) {
      fault(told.fault);
      go("refused");
    } else {
      show(told);
    }
  }

  // The view

  async function post(scan) {
    const headers = {
      Authorization: `Bearer ${settings.read()?.token}`,
      "Content-Type": "application/json",
    };
    const content = JSON.stringify({ ...scan, sent_at: new Date().toISOString() });
    const signal = AbortSignal.timeout(ANSWER_MS);
    try {
      const asked = { method: "POST", headers, body: content, cache: "no-store", signal };
      const answer = await fetch("/v1/scans", asked);
      if ([408, 429].includes(answer.status)) return null; // it was not looked at
      return { status: answer.status, told: await answer.json() };
    } catch {
      return null; // no network, no answer in time, or a proxy's
    }
  }

  const refused = (answer) => answer?.status === 401 || answer?.status === 403;

  async function judge(text) {
    if (text.length > Number(body.dataset.tokenMax)) return { outcome: "forged" };
    const { place } = settings.read();
    const scan = { id: crypto.randomUUID(), token: text, place, scanned_at: new Date().toISOString() };
    const answer = navigator.onLine ? await post(scan) : null;
    if (answer?.status === 200) {
      if (answer.told.again) await queue.add(scan);
      else queue.flush();
      return answer.told;
    }
    if (refused(answer)) return { fault: "token" };
    if (answer?.status < 500) {
      // The rest that is sent is made here, so what is wrong is the text, or the place.
      const token = answer.told.errors?.some(({ field }) => field.endsWith("token"));
      return answer.status === 422 && !token ? { fault: "place" } : { outcome: "forged" };
    }
    const found = await verify(text);
    if (!["forged", "expired"].includes(found?.outcome)) await queue.add(scan);
    return found ?? { outcome: "unreachable" };
  }

  // Sends a scan that waits. What this token may not send now, another may; what the view fails at,
  // it may fail at for this one alone.
  async function again(scan) {
    const answer = await post(scan);
    if (!answer || refused(answer)) return "later";
    if (answer.status >= 500) return "failed";
    if (answer.status !== 200) return "dropped";
    return answer.told.again ? "failed" : "done";
  }

  // The outcome

  function show({ outcome, name, ending, at, asOf }) {
    const words = document.getElementById(`outcome-${outcome}`);
    $("verdict").replaceChildren(words.content.cloneNode(true));
    $("holder").hidden = !name;
    $("name").textContent = name ?? "";
    $("ending").hidden = !ending;
    $("ending").querySelector("b").textContent = ending ?? "";
    const times = { server: at, "as-of": asOf, own: outcome === "clock-wrong" ? Date.now() : null };
    for (const [which, instant] of Object.entries(times)) {
      $(which).hidden = !instant;
      if (instant) $(which).querySelector("time").textContent = HANDS.format(new Date(instant));
    }
    body.dataset.outcome = outcome;
    go("answered");
    sounds.play(outcome);
  }

  function network() {
    $("online").hidden = !navigator.onLine;
    $("offline").hidden = navigator.onLine;
    queue.flush();
  }

  async function shine() {
    const on = torch.getAttribute("aria-pressed") !== "true";
    await camera.light(on);
    torch.setAttribute("aria-pressed", String(on));
  }

  form.addEventListener("submit", begin);
  document.getElementById("forget").addEventListener("click", forget);
  document.getElementById("scan-token").addEventListener("click", () => go("token") && awake());
  document.getElementById("back").addEventListener("click", () => go("back"));
  torch.addEventListener("click", shine);
  still.addEventListener("change", async () => {
    if (still.files[0]) await lookAt(still.files[0]);
    still.value = "";
  });
  next.addEventListener("click", () => {
    last.at = Date.now();
    go("next");
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : awake()));
  addEventListener("online", network);
  addEventListener("offline", network);
  addEventListener("load", () => {
    const { worker } = body.dataset;
    // Without it all works while there is a network.
    navigator.serviceWorker?.register(worker, { scope: "/gate" }).catch(() => {});
  });

  remembered();
  queue.tell();
  network();
  look();
  setInterval(queue.flush, FLUSH_MS);
})();
