// Keeps JSON for a page in this browser, under a key: a draft, the code that it was told last.
// Storage may be full or forbidden: then nothing is kept, and all else works. Logging out deletes
// what is kept (Clear-Site-Data).
"use strict";

const kept = (key) => ({
  read() {
    try {
      return JSON.parse(localStorage.getItem(key));
    } catch {
      return null;
    }
  },
  write(value) {
    try {
      localStorage.setItem(key, JSON.stringify(value));
    } catch {}
  },
  drop() {
    try {
      localStorage.removeItem(key);
    } catch {}
  },
});
