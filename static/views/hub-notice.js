// A line under the header that names the hub if it is not the one that served the page, since links can point anywhere.

import { byId, el } from "./dom.js";

/** `own`: the hub that served the page; `disk`: the page was opened from a file; `back`: the address without another hub. */
export function showHubNotice({ hub, own, disk }, back) {
  if (hub === own) return;
  const notice = byId("other-hub");
  const link = Object.assign(el("a", "", disk ? `Show ${own}` : "Show this hub"), { href: back });
  if (disk) link.onclick = () => setTimeout(() => location.reload()); // only the fragment changes
  notice.replaceChildren(disk ? "You are viewing the hub at " : "You are viewing another hub: ", el("b", "", hub), disk ? ". " : ", not the one that served this page. ", link);
  notice.hidden = false;
}
