// Counts the seconds until a code may be sent again, and sends each form once: a code gives one card,
// so a second tap would be told that the code is used. The server has limits of its own: without this
// script the button is there at once, and the answer says when to try again.
"use strict";

(() => {
  const COUNTED_MAX = 120; // seconds; a longer wait is told as a time of day, with the reason

  const button = document.querySelector("[data-again]");
  const count = document.querySelector("[data-count]");
  const place = count.querySelector("[data-n]");
  const seconds = Number(button.dataset.again);
  const until = Date.now() + (seconds > COUNTED_MAX ? 0 : seconds * 1000);
  const left = () => Math.ceil((until - Date.now()) / 1000);

  function show() {
    const waiting = left() > 0;
    count.hidden = !waiting;
    place.textContent = left();
    // Not `disabled`: that would take the focus away from a person who has it there.
    if (waiting) button.setAttribute("aria-disabled", "true");
    else button.removeAttribute("aria-disabled");
    if (waiting) setTimeout(show, 250);
  }

  const AGAIN_MS = 5000; // if no answer has come by then, it was lost or stopped
  const sent = new Map();
  document.addEventListener("submit", (event) => {
    const form = event.target;
    const twice = Date.now() - (sent.get(form) ?? 0) < AGAIN_MS;
    if (twice || (form === button.form && left() > 0)) event.preventDefault();
    else sent.set(form, Date.now());
  });
  addEventListener("pageshow", () => sent.clear()); // someone went back to the page
  show();
})();
