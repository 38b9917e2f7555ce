// Keeps the terminal's page with all of its files, so that it opens without a network, and at once
// on a bad one. It keeps nothing about a person. Its address has the language, and changes with
// every page and file, so a newer script replaces it.
"use strict";

const KEPT = `gate${location.search}`;
const PAGE = `/gate${location.search}`;
const ANY = { ignoreVary: true };
const FILES = /\/static\/[\w.-]+\?v=\w+/g;
const WAIT_MS = 3000; // for a newer page; a guard does not wait longer

async function keep() {
  const answer = await fetch(PAGE, { cache: "reload" });
  if (!answer.ok) throw new Error(`${PAGE} answers ${answer.status}`);
  const page = await answer.clone().text();
  const cache = await caches.open(KEPT);
  await cache.addAll(new Set(page.match(FILES)));
  await cache.put(PAGE, answer);
}

async function forgetOlder() {
  const names = await caches.keys();
  const older = names.filter((name) => name.startsWith("gate") && name !== KEPT);
  await Promise.all(older.map((name) => caches.delete(name)));
}

async function newest(request) {
  try {
    const answer = await fetch(request, { signal: AbortSignal.timeout(WAIT_MS) });
    if (answer.ok) return answer;
  } catch {} // no network, or too slow a one
  return (await caches.match(PAGE, ANY)) ?? Response.error();
}

self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(keep());
});
self.addEventListener("activate", (event) => event.waitUntil(forgetOlder()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET") return;
  if (request.mode === "navigate") {
    event.respondWith(newest(request));
  } else if (new URL(request.url).pathname.startsWith("/static/")) {
    event.respondWith(caches.match(request, ANY).then((found) => found ?? fetch(request)));
  }
});
