// Keeps the files of the page without a network, and answers with that page if the network is away.
// It keeps no page about a person: what a device was last told lies in its storage
// (static/kept.js). The script's address has the language, and changes with every page and file, so
// a newer script replaces it.
"use strict";

const KEPT = `kept${location.search}`;
const OFFLINE = `/offline${location.search}`;
const ANY = { ignoreVary: true }; // the address alone tells files apart
const FILES = /\/static\/[\w.-]+\?v=\w+/g;

async function keep() {
  const answer = await fetch(OFFLINE, { cache: "reload" });
  if (!answer.ok) throw new Error(`${OFFLINE} answers ${answer.status}`);
  const page = await answer.clone().text();
  const cache = await caches.open(KEPT);
  await cache.addAll(new Set(page.match(FILES)));
  await cache.put(OFFLINE, answer);
}

async function forgetOlder() {
  const names = await caches.keys();
  // The terminal's page keeps files of its own (static/gate-worker.js).
  const older = names.filter((name) => name.startsWith("kept") && name !== KEPT);
  await Promise.all(older.map((name) => caches.delete(name)));
}

self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(keep());
});
self.addEventListener("activate", (event) => event.waitUntil(forgetOlder()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET") return; // a form says by itself that it was not sent
  if (request.mode === "navigate") {
    event.respondWith(fetch(request).catch(() => caches.match(OFFLINE, ANY)));
  } else if (new URL(request.url).pathname.startsWith("/static/")) {
    event.respondWith(caches.match(request, ANY).then((kept) => kept ?? fetch(request)));
  }
});
