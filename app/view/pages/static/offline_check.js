// Checks what a QR holds without asking anybody. `verify(text)` resolves to
// { outcome, name, ending, asOf }: one of the outcomes of outcomes.js, the masked name, the end of
// the document number, and the milliseconds since 1970 until which the answer's data reach. It
// resolves to null if the text cannot be checked here: a display token says nothing to anybody but
// the view, and an old browser knows no Ed25519. Then there is no colour without a network.
//
// While there is a network the issuer's keys and all status lists are fetched, so that nobody learns
// which one is needed, and kept in this device. A list says itself until when it may be believed.
"use strict";

const verify = (() => {
  const DATABASE = "gate-lists";
  const STORE = "kept";
  const NAME = "all";
  const FETCH_MS = 20000;
  const ANSWER_MS = 8000;
  const GOOD_S = 35; // the second that a phone signed: half a minute, and what clocks may differ
  const CLOCK_S = 5;
  const SEEN_MS = 60000;
  const SAME_MS = 5000; // the same phone, still before the camera

  // Keys are JWKs; lists are bytes by address; `ahead` is the view's clock minus this device's.
  let held = { keys: [], lists: {}, ahead: 0 };
  const opened = new Map(); // address → the list, read
  const seen = new Map(); // credential and second → when it was read here first

  const now = () => Date.now() + held.ahead;

  const answerTo = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });

  async function store(mode, work) {
    const opening = indexedDB.open(DATABASE, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    const database = await answerTo(opening);
    try {
      return await answerTo(work(database.transaction(STORE, mode).objectStore(STORE)));
    } finally {
      database.close();
    }
  }

  async function ask(address) {
    const answer = await fetch(address, { signal: AbortSignal.timeout(ANSWER_MS) });
    if (!answer.ok) throw new Error(`${address} answers ${answer.status}`);
    return answer;
  }

  // Keeps of each list the newest that our keys signed; forgets lists that are no more.
  async function fetchAll() {
    const { keys } = await (await ask("/v1/credential-keys")).json();
    const { status_lists: addresses, at_ms: at } = await (await ask("/v1/s")).json();
    const ahead = at - Date.now();
    const lists = {};
    for (const address of addresses) {
      if (held.lists[address]) lists[address] = held.lists[address];
      try {
        const bytes = new Uint8Array(await (await ask(`/v1/${address}`)).arrayBuffer());
        const list = await credentials.readList(bytes, keys);
        const before = opened.get(address);
        if (list.uri !== address || before?.asOf > list.asOf) continue;
        opened.set(address, list);
        lists[address] = bytes;
      } catch {} // the one of before is kept
    }
    for (const address of opened.keys()) if (!lists[address]) opened.delete(address);
    held = { keys, lists, ahead };
    await store("readwrite", (kept) => kept.put(held, NAME));
  }

  async function load() {
    held = (await store("readonly", (kept) => kept.get(NAME))) ?? held;
    for (const [address, bytes] of Object.entries(held.lists)) {
      opened.set(address, await credentials.readList(bytes, held.keys));
    }
  }

  async function keepUp() {
    try {
      await fetchAll();
    } catch {} // no network: what is here grows older, and says so
    setTimeout(keepUp, FETCH_MS);
  }

  // Says whether the same credential was shown here with the same second a while ago.
  function isReplay({ id, second }) {
    const at = Date.now();
    for (const [key, first] of seen) if (at - first > SEEN_MS) seen.delete(key);
    const key = `${id} ${second}`;
    if (!seen.has(key)) seen.set(key, at);
    return at - seen.get(key) > SAME_MS;
  }

  function outcomeOf(shown) {
    const age = now() / 1000 - shown.second;
    const list = opened.get(shown.uri);
    if (age < -CLOCK_S) return "clock-wrong";
    if (age > GOOD_S || shown.until * 1000 <= now() || isReplay(shown)) return "expired";
    if (!list || list.until * 1000 <= now()) return "stale";
    return list.isOff(shown.index) ? "expired" : shown.colour;
  }

  const ready = load()
    .catch(() => {}) // a private window keeps nothing
    .then(() => void keepUp());

  return async (text) => {
    if (!credentials.isOurs(text)) return null;
    await ready;
    if (!held.keys.length) return null;
    try {
      const shown = await credentials.read(text, held.keys);
      const { name, ending } = shown;
      const asOf = opened.has(shown.uri) ? opened.get(shown.uri).asOf * 1000 : null;
      return { outcome: outcomeOf(shown), name, ending, asOf };
    } catch (error) {
      // A key that was replaced meanwhile is not known here yet.
      if (error instanceof credentials.UnknownKey) return { outcome: "stale" };
      if (error instanceof credentials.Forged) return { outcome: "forged" };
      return null;
    }
  };
})();
