// A key of this browser's own: P-256, in IndexedDB, never to be read by anyone, nor by this page.
// So what it signs comes from this browser. Logging out deletes it (Clear-Site-Data).
// Each function rejects where a browser has no such keys or keeps none, as in some private windows.
"use strict";

const { deviceKey, deviceSign, deviceForget } = (() => {
  const DATABASE = "device";
  const STORE = "keys";
  const NAME = "own";
  const KIND = { name: "ECDSA", namedCurve: "P-256" };
  const SIGNING = { name: "ECDSA", hash: "SHA-256" };

  const answerTo = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });

  // Resolves to what `work` returns of the store, once what it wrote is kept.
  async function stored(mode, work) {
    const opening = indexedDB.open(DATABASE, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    const database = await answerTo(opening);
    try {
      const transaction = database.transaction(STORE, mode);
      const ended = new Promise((resolve, reject) => {
        transaction.oncomplete = resolve;
        transaction.onabort = () => reject(transaction.error);
      });
      const [result] = await Promise.all([work(transaction.objectStore(STORE)), ended]);
      return result;
    } finally {
      database.close();
    }
  }

  // Two tabs may make a key at once: the one that is kept first is the key of both.
  async function pair() {
    const found = await stored("readonly", (store) => answerTo(store.get(NAME)));
    if (found) return found;
    const made = await crypto.subtle.generateKey(KIND, false, ["sign"]);
    return stored("readwrite", async (store) => {
      const first = await answerTo(store.get(NAME));
      if (!first) await answerTo(store.put(made, NAME));
      return first ?? made;
    });
  }

  return {
    // The public key as a JWK (RFC 7517): kty, crv, x, y. Makes the key if there is none.
    async deviceKey() {
      const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", (await pair()).publicKey);
      return { kty, crv, x, y };
    },

    // The signature of `bytes` as ES256 has it (RFC 7518, 3.4): r and s, 64 bytes. Makes the key if
    // there is none; whoever knows a former public key then sees that it is another.
    async deviceSign(bytes) {
      return new Uint8Array(await crypto.subtle.sign(SIGNING, (await pair()).privateKey, bytes));
    },

    // Deletes the key.
    async deviceForget() {
      await stored("readwrite", (store) => answerTo(store.delete(NAME)));
    },
  };
})();
