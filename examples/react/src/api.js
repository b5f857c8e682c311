// goat's API for a page with session cookies. Scripts never see a token: the browser keeps both cookies and
// sends them.

/** A problem document of goat (RFC 9457), or a failure to reach it. */
export class Problem extends Error {
  constructor(status, { code, detail, errors = [] }) {
    super(errors.map(({ field, message }) => `${field} ${message}`).join(", ") || detail);
    this.status = status;
    this.code = code;
  }
}

async function send(method, path, body) {
  const response = await fetch(`/api/v1${path}`, {
    method,
    headers: body && { "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  let json = {};
  try {
    json = text ? JSON.parse(text) : {};
  } catch {
    // The development server's own responses, for example if goat is not running.
  }
  if (!response.ok) {
    throw new Problem(response.status, { detail: "The server cannot be reached.", ...json });
  }
  return json.data;
}

// The renewal that all calls of this page share. Two tabs may renew at once: goat sets the same cookies.
let renewal = null;

function renew() {
  renewal ??= send("POST", "/auth/refresh", {}).finally(() => (renewal = null));
  return renewal;
}

/** Calls the API, and renews the session once if the access cookie has expired. */
export async function call(method, path, body) {
  try {
    return await send(method, path, body);
  } catch (problem) {
    if (problem.status !== 401) throw problem;
  }
  await renew(); // a 401 means that the session has ended; a 503 does not
  return send(method, path, body);
}

export const signIn = (email, password) =>
  send("POST", "/auth/login", { email, password, session: "cookie" });
