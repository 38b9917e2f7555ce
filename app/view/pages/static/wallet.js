// Shows the code by this phone itself. The view gives it a credential for its own key (device.js);
// from then on the phone signs the second, and its QR can be verified by anyone, with or without a
// network. The credential is kept in this browser, worth nothing without the key, until it ends or
// until a logout. Where a browser can do none of this, nothing happens: the server's QR stays.
"use strict";

const wallet = (() => {
  const FRESH_MS = 60 * 60 * 1000; // then the next one, with another place in the lists
  const AGAIN_MS = 6000; // the view gives one in five seconds
  const ANSWER_MS = 4000;
  const LIST_MS = 2000; // then the view is asked itself, which takes its time as well
  const own = kept("credential");
  let list = null; // { uri, etag, isOff }: the one that was fetched last
  let notBefore = 0;
  let asking = false;

  const codeOf = (key) => key.split(" ", 2).join(" "); // colour and version, without the data's age
  const bytesOf = (text) =>
    Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));

  const isOf = (found, { holder, key }) => found.holder === holder && found.code === codeOf(key);

  async function fetchNew({ holder, epoch }, ahead) {
    const jwk = await deviceKey();
    const answer = await fetch("/v1/me/credential", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ key: jwk }),
      cache: "no-store",
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    if (!answer.ok) return false;
    const { credential, valid_until: until, colour, version } = await answer.json();
    const at = Date.now() + ahead;
    const code = `${colour} ${version}`; // of the page, or already of a newer one
    own.write({ credential, until: Date.parse(until), at, ahead, holder, code, epoch, x: jwk.x });
    return true;
  }

  // Fetches a list as anybody would: without a cookie, and as a cache may answer. Returns until when
  // (ms, the view's clock) all that was appended is in it; throws where there is none.
  async function fetchList(uri) {
    const answer = await fetch(`/v1/${uri}`, {
      headers: list?.uri === uri ? { "If-None-Match": list.etag } : {},
      cache: "no-store",
      credentials: "omit",
      signal: AbortSignal.timeout(LIST_MS),
    });
    // Read in any case: a connection whose answer is left unread is given up.
    const content = new Uint8Array(await answer.arrayBuffer());
    if (answer.status !== 304) {
      if (!answer.ok) throw new Error(`${uri} answers ${answer.status}`);
      const isOff = await credentials.bits(content, uri);
      list = { uri, etag: answer.headers.get("etag"), isOff };
    } else if (list?.uri !== uri) {
      throw new Error(`${uri} is said to be known`);
    }
    return Number(answer.headers.get("x-as-of")) || 0;
  }

  return {
    // The instant (ms, the view's clock) until which the code that a page shows holds, by the status
    // list alone; 0 if the list cannot tell: there is no credential of it or no list, or it is off.
    async holdsUntil(shown) {
      const found = own.read();
      if (!found || !isOf(found, shown) || found.epoch !== shown.epoch) return 0;
      try {
        const { uri, index } = credentials.place(bytesOf(found.credential));
        const asOf = await fetchList(uri);
        if (!list.isOff(index)) return asOf;
        if (own.read()?.credential === found.credential) own.drop();
      } catch {} // no network, or not what we send
      return 0;
    },

    // Gets a credential of the code that a page shows, where that is due. `shown` has its data
    // attributes: the holder, the key, and the epoch, which is another one once the view's model was
    // built again and knows no credential of before. `ahead` is the view's clock minus this
    // device's. Resolves to whether there is another one.
    async renew(shown, ahead) {
      const found = own.read();
      const now = Date.now() + ahead;
      if (found && found.holder !== shown.holder) own.drop(); // somebody else has this phone now
      const known = found && isOf(found, shown) && found.epoch === shown.epoch;
      const good = known && now < found.until && now - found.at < FRESH_MS;
      if (good || asking || Date.now() < notBefore) return false;
      asking = true;
      notBefore = Date.now() + AGAIN_MS;
      try {
        return await fetchNew(shown, ahead);
      } catch {
        return false; // no network, or no such keys here
      } finally {
        asking = false;
      }
    },

    // What the QR holds now, or null. With `shown`, only of the code that a page shows; without it
    // of whatever this device was given last.
    async show(shown) {
      const found = own.read();
      if (!found || (shown && !isOf(found, shown))) return null;
      const now = Date.now() + found.ahead;
      if (now >= found.until) return null;
      try {
        // A key that the browser lost would sign, as another one, what nobody believes.
        if ((await deviceKey()).x !== found.x) {
          own.drop();
          return null;
        }
        return await credentials.shown(bytesOf(found.credential), Math.floor(now / 1000), deviceSign);
      } catch {
        return null;
      }
    },

    drop: own.drop,
  };
})();
