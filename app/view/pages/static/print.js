// Prints the page, for those who do not know where their browser does.
"use strict";

document.querySelectorAll("[data-print]").forEach((button) => {
  button.addEventListener("click", () => print());
});
