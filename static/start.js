"use strict";
// Finds the hub and loads the page's modules. A script of its own, and no module: the page's policy allows nothing inline, and
// browsers load no modules from disk.

// The hub: ?hub=…, or the one that served this page. A page opened from disk connects to the hub on this machine and loads
// its modules from there.
{
  const { protocol, origin, pathname, search, hash } = location;
  const disk = protocol === "file:";
  const VIEW = /(static\/)?(stream-test\.html|sessions(\/[^/]*)?|compare|trends|errors|events|agents|talk)?$/;
  const base = disk ? "" : pathname.replace(VIEW, "").replace(/\/$/, "");
  const own = disk ? "http://localhost:5000" : origin + base;
  let hub = new URLSearchParams(hash.replace(/^#(\/[^?]*\?)?/, "")).get("hub") || new URLSearchParams(search).get("hub") || own;
  try {
    const given = new URL(/^https?:\/\//i.test(hub) ? hub : `http://${hub}`);
    hub = (given.origin + given.pathname).replace(/(\/(api\/stream|(static\/)?stream-test\.html)?)$/, "");
  } catch {
    hub = own;
  }
  const modules = `${disk ? hub : own}/static/`;
  window.eventHub = { hub, own, base, disk, modules };
  const style = document.getElementById("style");
  style.onerror = () => {
    style.onerror = null;
    style.href = `${modules}page.css`;
  };
  style.href = disk ? "page.css" : `${own}/static/page.css`;
  document.getElementById("icon").href = disk ? "icon.svg" : `${own}/static/icon.svg`;
}

// Loads the modules. If the hub does not provide them, the page says so and keeps trying.
document.addEventListener("DOMContentLoaded", () => {
  const { hub, modules, disk } = window.eventHub;
  const at = (id) => document.getElementById(id);
  at("hub-address").value = hub;
  at("hub-form").onsubmit = (event) => {
    event.preventDefault();
    const target = new URL(location.href);
    const fields = new URLSearchParams(disk ? target.hash.replace(/^#([^?]*\?)?/, "") : target.search);
    fields.set("hub", at("hub-address").value);
    if (disk) target.hash = target.hash.startsWith("#/") ? `${target.hash.split("?")[0]}?${fields}` : fields;
    else target.search = fields;
    if (target.href === location.href) return location.reload();
    location.href = target.href;
    if (disk) location.reload();
  };
  const page = document.createElement("script");
  page.type = "module";
  page.src = `${modules}main.js`;
  page.onerror = () => {
    at("connection").dataset.state = "waiting";
    at("connection").textContent = "no hub";
    at("where").open = true;
    at("reason").hidden = false;
    at("reason").textContent = `No hub answers at ${hub}: start it with “make run”, or connect to another hub. If it is running, it may not allow pages from disk (HUB_CORS_ORIGINS). This page keeps trying.`;
    const retry = () => fetch(page.src).then((response) => response.ok && location.reload(), () => {});
    setInterval(retry, 2000);
  };
  document.head.append(page);
});
