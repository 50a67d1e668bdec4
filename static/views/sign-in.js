// Signing in and out: a form that takes a key, and what the page offers to those who may do less.

import { lacking, refusedKey, sameView, sharedView, sharesOne, whySignIn } from "../words/access.js";
import { keepCredential } from "../transport/credential.js";
import { byId, text } from "./dom.js";

export class SignIn {
  #dismissed = false; // the reader has closed the form, to read what is still on the page
  #busy = false;
  #entered = false; // a key was accepted, and the page is about to connect with it
  #shown = null; // the access that the page's content was loaded with

  /** `api`: the hub's; `foreign`: whether the page is of another origin, which the hub sets no cookie for; `retry()`: connect. */
  constructor(api, { foreign, retry }) {
    this.api = api;
    this.foreign = foreign;
    this.retry = retry;
    this.dialog = byId("sign-in");
    this.account = byId("account");
    this.dialog.oncancel = () => (this.#dismissed = true);
    byId("sign-in-close").onclick = () => {
      this.#dismissed = true;
      this.dialog.close();
    };
    this.account.onclick = () => (this.needed ? this.dialog.showModal() : this.#leave());
    byId("sign-in-form").onsubmit = (event) => {
      event.preventDefault();
      this.#enter(byId("sign-in-key").value.trim());
    };
    text(byId("sign-in-to"), foreign ? `The key is sent to ${api.hub}, and kept until this tab is closed.` : "");
    byId("sign-in-to").hidden = !foreign;
  }

  /** `status`: the connection's, see `Source`. */
  render({ state, config, kind, ended }) {
    const access = config?.access;
    if (!access) return;
    this.needed = lacking(access);
    document.body.dataset.access = access.kind;
    document.body.dataset.control = access.control;
    document.body.dataset.publish = access.publish === null || access.publish.length > 0;
    text(byId("shared-view"), sharedView(access));
    byId("shared-view").hidden = access.kind !== "share";
    byId("rail").hidden = sharesOne(access);
    this.#showAccount(access);
    if (!this.needed) return this.#admitted(access);
    if (state !== "waiting" || kind !== "signed-out") return;
    if (ended === "signed_out" && this.#shown) return location.reload(); // in another tab: nothing may stay on the screen
    text(byId("sign-in-why"), whySignIn(access, ended, this.api.credential !== ""));
    if (this.#entered && access.kind === "anonymous") this.#refuse("The browser did not keep the sign-in: allow cookies for this page.");
    this.#entered = false;
    if (!this.#dismissed && !this.dialog.open) this.dialog.showModal();
  }

  // What the page shows was loaded with other rights: it is loaded again.
  #admitted(access) {
    if (this.#shown && !sameView(this.#shown, access)) return location.reload();
    this.#shown = access;
    this.#dismissed = this.#entered = false;
    if (this.dialog.open) this.dialog.close();
  }

  #showAccount(access) {
    const named = access.auth === "required" && !this.needed && access.kind !== "share";
    this.account.hidden = access.auth !== "required" || access.kind === "share";
    text(this.account, this.needed ? "Sign in" : "Sign out");
    this.account.title = named ? `Signed in as ${access.label}` : "";
    text(byId("who"), named ? access.label : "");
    byId("who").title = this.account.title;
    byId("who").hidden = !named;
  }

  async #enter(key) {
    if (this.#busy || !key) return;
    this.#busy = true;
    this.#refuse("");
    try {
      if (this.foreign) await this.#try(key);
      else {
        await this.api.post("/api/sign-in", { key }, { credential: "" });
        byId("sign-in-key").value = "";
        this.#entered = true;
        if (this.api.credential) this.#restart("");
        else this.retry({ force: true });
      }
    } catch (error) {
      this.#refuse(refusedKey(error));
      byId("sign-in-key").select();
    }
    this.#busy = false;
  }

  // Without a cookie, the tab keeps the key itself.
  async #try(key) {
    const { access } = await this.api.get("/api/config", { credential: key });
    if (access.kind === "anonymous") return this.#refuse("That is not a key of this hub.");
    if (lacking(access)) return this.#refuse(whySignIn(access));
    this.#restart(key);
  }

  async #leave() {
    if (!this.foreign) await this.api.post("/api/sign-out", {}, { credential: "" }).catch(() => {});
    this.#restart("", "signed_out");
  }

  // All that the page holds in memory goes with the old credential.
  #restart(credential, ended = "") {
    keepCredential(this.api.hub, credential);
    this.retry({ force: true, ended }); // the other tabs
    location.reload();
  }

  #refuse(sentence) {
    text(byId("sign-in-refused"), sentence);
    byId("sign-in-refused").hidden = !sentence;
  }
}
