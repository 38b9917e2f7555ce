// Sends the forms of the travel card and puts the server's answer in their place, so that a form
// that was sent is no page to go back to. Counts the seconds until a code may be sent again. The
// server has checks and limits of its own: without this script the forms are sent as any other.
"use strict";

(() => {
  const COUNTED_MAX = 120; // seconds; a longer wait is told as a time of day, with the reason
  const ANSWER_MS = 20000; // the gateway and the carrier have eight seconds together

  const sheet = () => document.querySelector(".form-sheet");
  let sending = false;
  let until = 0;
  const left = () => Math.ceil((until - Date.now()) / 1000);

  function show() {
    const button = sheet().querySelector("[data-again]");
    if (!button) return;
    const count = sheet().querySelector("[data-count]");
    const waiting = left() > 0;
    count.hidden = !waiting;
    count.querySelector("[data-n]").textContent = left();
    // Not `disabled`: that would take the focus away from a person who has it there.
    if (waiting) button.setAttribute("aria-disabled", "true");
    else button.removeAttribute("aria-disabled");
    if (waiting) setTimeout(show, 250);
  }

  // The sheet is new: the server says all that is wrong with it, the browser nothing.
  function begin() {
    for (const form of sheet().querySelectorAll("form")) form.noValidate = true;
    const seconds = Number(sheet().querySelector("[data-again]")?.dataset.again ?? 0);
    until = Date.now() + (seconds > COUNTED_MAX ? 0 : seconds * 1000);
    show();
  }

  function become(page) {
    const fresh = document.adoptNode(page.querySelector(".form-sheet"));
    sheet().replaceWith(fresh);
    document.title = page.title;
    begin();
    fresh.querySelector("[autofocus]")?.focus();
  }

  function tell(which) {
    const words = document.querySelector(`template[data-says="${which}"]`);
    document.getElementById("told").replaceChildren(words.content.cloneNode(true));
  }

  async function send(form) {
    sending = true;
    tell("sending");
    try {
      const answer = await fetch(form.action, {
        method: "POST",
        body: new URLSearchParams(new FormData(form)),
        headers: { Accept: "text/html" },
        signal: AbortSignal.timeout(ANSWER_MS),
      });
      const text = await answer.text();
      if (answer.redirected) {
        location.replace(answer.url); // `sending` stays true until this page is gone
        return;
      }
      const page = new DOMParser().parseFromString(text, "text/html");
      if (page.querySelector(".form-sheet")) become(page);
      else if (answer.status === 401) location.reload(); // leads to the login
      else tell("unanswered");
    } catch {
      tell("unanswered");
    }
    sending = false;
  }

  document.addEventListener("submit", (event) => {
    event.preventDefault();
    const again = event.target.querySelector("[data-again]");
    if (!sending && !(again && left() > 0)) send(event.target);
  });
  begin();
})();
