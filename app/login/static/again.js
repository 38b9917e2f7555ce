// Logs one's own phone in again: signs the page's challenge with the key of this browser, and opens
// the page that was asked for. Whatever fails leads to a login by face.
"use strict";

(async () => {
  const { challenge, login } = document.getElementById("again").dataset;
  try {
    const signed = await deviceSign(new TextEncoder().encode(challenge));
    const signature = [...signed].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const answer = await fetch("/login/again", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ challenge, signature }),
      signal: AbortSignal.timeout(10000),
    });
    if (answer.ok) {
      location.reload();
      return;
    }
  } catch {
    // as if it were refused
  }
  location.replace(login);
})();
