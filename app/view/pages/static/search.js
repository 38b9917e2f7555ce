// Hides the events whose name or meaning has none of what is typed. Without it the form asks the server.
"use strict";

(() => {
  const form = document.getElementById("search");
  const items = [...document.querySelectorAll("[data-found]")];
  const none = document.getElementById("none");

  function look() {
    const words = form.elements.q.value.toLowerCase().trim();
    for (const item of items) item.hidden = !item.textContent.toLowerCase().includes(words);
    for (const topic of document.querySelectorAll("[data-topic]")) {
      topic.hidden = !topic.querySelector("[data-found]:not([hidden])");
    }
    none.hidden = items.some((item) => !item.hidden);
  }

  form.addEventListener("input", look);
  form.addEventListener("submit", (event) => event.preventDefault());
  look();
})();
