// Where the gateway is. Pure.

const LOCAL = "http://localhost:8765"; // the gateway's default, for a page that was opened from a file

/** The addresses of the gateway's endpoints, for the page at `href`: `?gateway=` or the origin that served it. */
export class Address {
  constructor(href, token = "") {
    const { protocol, origin, searchParams, hash } = new URL(href);
    const own = protocol === "file:" ? LOCAL : origin;
    try {
      const given = searchParams.get("gateway");
      this.origin = given ? new URL(/^(http|ws)s?:\/\//i.test(given) ? given.replace(/^ws/i, "http") : `http://${given}`).origin : own;
    } catch {
      this.origin = own;
    }
    this.token = token || searchParams.get("access_token") || new URLSearchParams(hash.slice(1)).get("access_token") || "";
  }

  /** An HTTP address of the gateway, with the token, because links and players send no header; "" if it leads elsewhere. */
  http(path) {
    const url = new URL(path, this.origin);
    if (url.origin !== this.origin) return "";
    if (this.token) url.searchParams.set("access_token", this.token);
    return url.href;
  }

  ws(path, parameters = {}) {
    const url = new URL(path, this.origin.replace(/^http/, "ws"));
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
    if (this.token) url.searchParams.set("access_token", this.token);
    return url.href;
  }
}
