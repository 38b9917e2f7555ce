// What this device was last told: a state's words and when it was confirmed, nothing that could be
// scanned. Logging out forgets it (Clear-Site-Data), and so does a day.
"use strict";

const last = (() => {
  const KEY = "last";
  const KEPT_MS = 24 * 3600 * 1000;

  // Storage may be full or forbidden: then nothing is known later, and all else works.
  return {
    write(told) {
      try {
        localStorage.setItem(KEY, JSON.stringify(told));
      } catch {}
    },
    // {first, second, holder, at}, or null.
    read() {
      try {
        const told = JSON.parse(localStorage.getItem(KEY));
        return told && Date.now() - told.at < KEPT_MS ? told : null;
      } catch {
        return null;
      }
    },
  };
})();
