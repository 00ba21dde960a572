// Keeps the page current: new events go on top of the stream, and what changed is fetched again.
"use strict";
(() => {
  const list = document.getElementById("events");
  const lamp = document.getElementById("live");
  const only = document.body.dataset.device || "";
  const most = 100;
  let timer = 0;

  const cell = (name, text) => {
    const element = document.createElement("span");
    element.className = name;
    element.textContent = text;
    return element;
  };

  const show = (event) => {
    if (!list || (only && event.subject !== only)) return;
    const line = document.createElement("li");
    line.className = "new " + event.severity;
    const time = new Date(event.time * 1000).toISOString().replace("T", " ").slice(0, 19);
    const subject = cell("subject", "");
    if (event.subject.startsWith("dev-")) {
      const link = document.createElement("a");
      link.href = "/console/devices/" + encodeURIComponent(event.subject);
      link.textContent = event.subject;
      subject.append(link);
    } else subject.textContent = event.subject;
    line.append(cell("time", time), cell("code", event.code), subject, cell("message", event.message));
    list.prepend(line);
    while (list.children.length > most) list.lastElementChild.remove();
  };

  const refresh = async () => {
    timer = 0;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (answer.redirected) return location.assign("/console/login");
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-live]")) {
        const fresh = page.getElementById(part.id);
        if (fresh && fresh.innerHTML !== part.innerHTML) part.replaceChildren(...fresh.childNodes);
      }
    } catch { /* the lamp tells */ }
  };
  const soon = () => { if (!timer) timer = setTimeout(refresh, 300); };

  const source = new EventSource("/console/events?after=" + (document.body.dataset.after || 0));
  source.addEventListener("touchstone", (message) => { show(JSON.parse(message.data)); soon(); });
  source.onopen = () => { lamp.className = "on"; lamp.textContent = "live"; };
  source.onerror = () => { lamp.className = "off"; lamp.textContent = "connecting"; };
  setInterval(soon, 5000);
})();
