// Makes this browser its reader's own phone: sends the public half of a key that stays here.
"use strict";

(() => {
  const button = document.querySelector("[data-own]");
  if (!button) return;
  button.hidden = false;
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const { x, y } = await deviceKey();
      const answer = await fetch("/login/device", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ x, y }),
        signal: AbortSignal.timeout(10000),
      });
      if (answer.ok || answer.status === 401) {
        location.reload();
        return;
      }
    } catch {
      // as if it were refused
    }
    const words = document.querySelector("template[data-says=failed]");
    document.querySelector("[data-told]").replaceChildren(words.content.cloneNode(true));
    button.disabled = false;
    button.focus();
  });
})();
