// The page's entry point: wires the controller to the buttons of the header.

import { Palette } from "./console/palette.js";
import { PageController } from "./controller.js";
import { address, read } from "./model/settings.js";
import { byId } from "./views/dom.js";
import { Router } from "./router.js";
import { takeCredential } from "./transport/credential.js";
import { showHubNotice } from "./views/hub-notice.js";

const page = new PageController(window.eventHub, takeCredential(window.eventHub.hub));
byId("pause").onclick = () => page.togglePause();
byId("clear").onclick = () => page.clear();
byId("post").onclick = () => page.post();
byId("theme").onclick = () => page.nextTheme();
showHubNotice(window.eventHub, address(location.href, { ...read(location.href), hub: "" }));
const router = new Router(window.eventHub, page);
const palette = new Palette({ api: page.api, router });
byId("search").onclick = () => palette.open();
document.body.classList.remove("bare");
page.connect();
