// Keeps a draft of a declaration in this browser, with the id of its form, and sends it. A draft that
// is lost on the way can be sent again, and is one declaration. Without this script the browser sends
// the form as any other. A draft is its owner's alone. It is deleted once an answer comes, or after a
// day.
"use strict";

(() => {
  const ANSWER_MS = 15000;
  const SAVE_MS = 300; // after the last change
  const FORM = "form[data-kind]";
  const told = () => document.getElementById("told");

  let form = document.querySelector(FORM);
  const kind = form.dataset.kind;
  const store = kept(`declare:${kind}`);
  const rendered = form.elements.id.value;
  let saving = 0;
  let sending = false;
  let lost = false;

  function tell(which) {
    const words = document.querySelector(`template[data-says="${which}"]`);
    told().replaceChildren(words.content.cloneNode(true));
  }

  function draftKept() {
    const draft = store.read();
    if (!draft) return null;
    if (draft.owner === form.dataset.owner && Date.now() < draft.until) return draft;
    store.drop();
    return null;
  }

  const fields = () => [...form.elements].filter((field) => field.name && field.name !== "id");
  const ticked = (field) => field.type === "checkbox" || field.type === "radio";

  function save() {
    clearTimeout(saving);
    const values = fields()
      .filter((field) => !ticked(field) || field.checked)
      .map((field) => [field.name, field.value])
      .filter(([, value]) => value);
    const until = Date.now() + Number(form.dataset.hours) * 3600000;
    store.write({ owner: form.dataset.owner, until, id: form.elements.id.value, values });
  }

  function fill(id, values) {
    form.elements.id.value = id;
    for (const field of fields()) {
      const given = values.filter(([name]) => name === field.name).map(([, value]) => value);
      if (ticked(field)) field.checked = given.includes(field.value);
      else field.value = given[0] ?? "";
    }
  }

  function restore() {
    const draft = draftKept();
    if (!draft || !draft.values.length) return;
    fill(draft.id, draft.values);
    tell("restored");
  }

  function discard() {
    clearTimeout(saving);
    store.drop();
    fill(rendered, []);
    tell("discarded");
    fields()[0].focus();
  }

  // Shows the server's form in place of this one, with its faults at the top.
  function become(page) {
    const fresh = document.adoptNode(page.getElementById("declaration"));
    document.getElementById("declaration").replaceWith(fresh);
    document.title = page.title;
    form = document.querySelector(FORM);
    form.noValidate = true;
    save(); // its id may have changed
    document.getElementById("faults")?.focus();
  }

  async function send() {
    sending = true;
    lost = false;
    form.setAttribute("aria-busy", "true");
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
        store.drop();
        history.replaceState({ sent: true }, ""); // for whoever goes back here
        location.assign(answer.url);
        return; // `sending` stays true until the page is gone: a further tap does nothing
      }
      const page = new DOMParser().parseFromString(text, "text/html");
      if (page.getElementById("declaration")) become(page);
      else tell(answer.status === 401 ? "over" : "unanswered");
    } catch {
      lost = true;
      tell("lost");
    }
    sending = false;
    form.removeAttribute("aria-busy");
  }

  document.addEventListener("input", () => {
    clearTimeout(saving);
    saving = setTimeout(save, SAVE_MS);
  });
  addEventListener("pagehide", () => {
    if (!sending && draftKept()) save();
  });
  document.addEventListener("submit", (event) => {
    if (event.target !== form) return;
    event.preventDefault();
    if (sending) return;
    save();
    send();
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-discard]")) discard();
  });
  addEventListener("online", () => {
    if (lost) tell("back");
  });
  // Someone went back to the page after sending: the browser kept it, and its form is used up.
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
  form.noValidate = true; // the server says all that is wrong, and in the page's language

  if (history.state?.sent) location.replace(form.dataset.records);
  else if (!("answered" in form.dataset)) restore();
})();
