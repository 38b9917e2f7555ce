// Counts the seconds until a code may be sent again. The server's own limit is what holds: without
// this the button is there at once, and its answer says when.
"use strict";

(() => {
  const button = document.querySelector("[data-again]");
  const count = document.querySelector("[data-count]");
  const places = count.querySelectorAll("[data-n]");
  const until = Date.now() + Number(button.dataset.again) * 1000;
  const left = () => Math.ceil((until - Date.now()) / 1000);

  function show() {
    const waiting = left() > 0;
    count.hidden = !waiting;
    places.forEach((place) => (place.textContent = left()));
    // Not `disabled`: that would take the focus away from who has it there.
    if (waiting) button.setAttribute("aria-disabled", "true");
    else button.removeAttribute("aria-disabled");
    if (waiting) setTimeout(show, 1000 - ((Date.now() - until) % 1000 + 1000) % 1000);
  }

  button.form.addEventListener("submit", (event) => {
    if (left() > 0) event.preventDefault();
  });
  show();
})();
