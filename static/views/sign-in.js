// Signing in and out: a form that takes a key, and what the page offers to those who may do less.

import { lacking, sharedView, whySignIn } from "../words/access.js";
import { keepCredential } from "../transport/credential.js";
import { byId, text } from "./dom.js";

export class SignIn {
  #dismissed = false; // the reader has closed the form, to read what is still on the page
  #busy = false;

  /** `api`: the hub's; `foreign`: whether the page is of another origin, which the hub sets no cookie for; `retry()`: connect. */
  constructor(api, { foreign, retry }) {
    this.api = api;
    this.foreign = foreign;
    this.retry = retry;
    this.dialog = byId("sign-in");
    this.account = byId("account");
    this.dialog.oncancel = () => (this.#dismissed = true);
    this.account.onclick = () => (this.needed ? this.dialog.showModal() : this.#leave());
    byId("sign-in-form").onsubmit = (event) => {
      event.preventDefault();
      this.#enter(byId("sign-in-key").value.trim());
    };
  }

  /** `status`: the connection's, see `Source`. */
  render({ config, kind, ended }) {
    const access = config?.access;
    if (!access) return;
    this.needed = lacking(access);
    document.body.dataset.control = access.control;
    document.body.dataset.publish = access.publish === null || access.publish.length > 0;
    text(byId("shared-view"), sharedView(access));
    byId("shared-view").hidden = access.kind !== "share";
    this.account.hidden = access.auth !== "required" || access.kind === "share";
    text(this.account, this.needed ? "Sign in" : "Sign out");
    this.account.title = this.needed ? "" : `Signed in as ${access.label}`;
    const asks = this.needed && kind === "signed-out";
    if (asks) text(byId("sign-in-why"), whySignIn(ended, this.api.credential !== ""));
    if (asks && !this.#dismissed && !this.dialog.open) this.dialog.showModal();
    if (!this.needed) {
      this.#dismissed = false;
      if (this.dialog.open) this.dialog.close();
    }
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
        if (this.api.credential) this.#restart("");
        else this.retry();
      }
    } catch (error) {
      this.#refuse(error.problem?.code === "bad_credential" ? "That is not a key of this hub." : error.message);
      byId("sign-in-key").select();
    }
    this.#busy = false;
  }

  // Without a cookie, the tab keeps the key itself.
  async #try(key) {
    const { access } = await this.api.get("/api/config", { credential: key });
    if (lacking(access)) return this.#refuse("That is not a key of this hub.");
    this.#restart(key);
  }

  async #leave() {
    if (!this.foreign) await this.api.post("/api/sign-out", {}, { credential: "" }).catch(() => {});
    this.#restart("");
  }

  // All that the page holds in memory goes with the old credential.
  #restart(credential) {
    keepCredential(this.api.hub, credential);
    this.retry({ force: true }); // the other tabs
    location.reload();
  }

  #refuse(sentence) {
    text(byId("sign-in-refused"), sentence);
    byId("sign-in-refused").hidden = !sentence;
  }
}
