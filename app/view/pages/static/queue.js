// Scans that could not be sent lie here, in this device's IndexedDB, until they can be. Each keeps
// the id and the time that it was given when it was read, so that it is one scan however often it is
// sent. They go out oldest first, from one tab at a time. The view takes a scan for a day; what is
// older is dropped, and counted; so is all that a browser does not keep. `makeQueue(send, changed)`:
// `send(scan)` resolves to "done", "dropped", "failed" (this one; another may still go) or "later"
// (none can go now); `changed(waiting, dropped)` is told whenever either number changes.
"use strict";

const makeQueue = (send, changed) => {
  const KEPT_MS = 24 * 3600 * 1000;
  const LOST = "gate-dropped";
  const NAME = "gate";
  const STORE = "scans";
  const FAILED_MAX = 3; // failures at one flush; then the view itself is in trouble

  const done = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });

  function open() {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { autoIncrement: true });
    return done(request);
  }

  let opened = null;
  async function store(mode) {
    opened ??= open();
    return (await opened).transaction(STORE, mode).objectStore(STORE);
  }

  const dropped = () => kept(LOST).read() ?? 0;
  const lose = () => kept(LOST).write(dropped() + 1);

  // A browser may refuse to keep anything, in a private window or where no room is left.
  const count = async () => done((await store("readonly")).count());

  async function tell() {
    changed(await count().catch(() => 0), dropped());
  }

  async function add(scan) {
    try {
      await done((await store("readwrite")).add(scan));
    } catch {
      lose();
    }
    await tell();
  }

  async function oldest() {
    const cursor = await done((await store("readonly")).openCursor());
    return cursor ? { key: cursor.key, scan: cursor.value } : null;
  }

  async function remove(key, lost) {
    await done((await store("readwrite")).delete(key));
    if (lost) lose();
    await tell();
  }

  // So that what fails each time holds up nothing that waits behind it. Resolves to its new key.
  async function toTheEnd({ key, scan }) {
    const scans = await store("readwrite");
    scans.delete(key);
    return done(scans.add(scan));
  }

  async function drain() {
    const ends = [];
    for (let next = await oldest(); next && !ends.includes(next.key); next = await oldest()) {
      const late = Date.now() - Date.parse(next.scan.scanned_at) > KEPT_MS;
      const sent = late ? "dropped" : await send(next.scan);
      if (sent === "later") return;
      if (sent === "failed") {
        ends.push(await toTheEnd(next));
        if (ends.length === FAILED_MAX) return;
      } else {
        await remove(next.key, sent === "dropped");
      }
    }
  }

  // Sends what waits, if no other tab is at it.
  async function flush() {
    if (!navigator.onLine) return;
    await navigator.locks.request(NAME, { ifAvailable: true }, (lock) => lock && drain());
  }

  return { add, flush, tell };
};
