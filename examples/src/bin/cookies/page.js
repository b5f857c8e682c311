// Client code of the page. It never sees a token: the browser stores them in `HttpOnly` cookies and
// sends them by itself.

const element = (id) => document.getElementById(id);

// Not a secret, only a hint for the next visit that a session may exist.
const NOTE = "signed-in";

async function send(method, path, body) {
  const headers = body ? { "content-type": "application/json" } : {};
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  return { ok: response.ok, status: response.status, json: text ? JSON.parse(text) : {} };
}

// Sends an authenticated request. The server renews the session of an expired access cookie by itself, so
// a 401 means that the session has ended.
async function call(method, path) {
  const response = await send(method, path);
  if (response.status === 401) {
    show(null);
    return { ...response, json: { detail: "Your session has ended. Sign in again." } };
  }
  return response;
}

function show(email) {
  element("member").hidden = email === null;
  element("sign-in-form").hidden = email !== null;
  element("name").textContent = email ?? "";
  if (email === null) {
    localStorage.removeItem(NOTE);
  } else {
    localStorage.setItem(NOTE, "yes");
  }
}

function showMessage(text, items = []) {
  element("message").textContent = text;
  element("message").classList.remove("bad");
  element("list").replaceChildren(
    ...items.map((item) => Object.assign(document.createElement("li"), { textContent: item })),
  );
}

// Shows a problem document: its `detail`, or its `errors` per field.
const FIELDS = { email: "The e-mail address", password: "The password" };

function showProblem({ json }) {
  const reasons = (json.errors ?? []).map(({ field, message }) => `${FIELDS[field]} ${message}.`);
  const sentence = json.detail ?? "That did not work. Try again in a moment.";
  showMessage(reasons.length > 0 ? "Please correct:" : sentence, reasons);
  element("message").classList.add("bad");
}

// Runs an action with all buttons disabled.
async function busy(act) {
  const buttons = [...document.querySelectorAll("button")];
  buttons.forEach((button) => (button.disabled = true));
  try {
    await act();
  } catch {
    showProblem({ json: { detail: "The server cannot be reached. Try again in a moment." } });
  } finally {
    buttons.forEach((button) => (button.disabled = false));
  }
}

async function enter(isNew) {
  const form = { email: element("email").value, password: element("password").value };
  if (isNew) {
    const signedUp = await send("POST", "/signup", form);
    if (!signedUp.ok) {
      return showProblem(signedUp);
    }
  }
  const signedIn = await send("POST", "/login", form);
  if (!signedIn.ok) {
    return showProblem(signedIn);
  }
  element("password").value = "";
  show(form.email);
  showMessage(isNew ? "Welcome! Your account is ready." : "Welcome back.");
}

element("sign-in-form").addEventListener("submit", (event) => {
  event.preventDefault();
  busy(() => enter(event.submitter?.id === "sign-up"));
});

const onClick = (id, act) => element(id).addEventListener("click", () => busy(act));

onClick("read", async () => {
  const response = await call("GET", "/reports");
  response.ok ? showMessage("Your reports:", response.json.reports) : showProblem(response);
});

onClick("export", async () => {
  const response = await call("POST", "/exports");
  response.ok ? showMessage(`Exported as ${response.json.exported}.`) : showProblem(response);
});

onClick("audit", async () => {
  const response = await call("GET", "/audit");
  response.ok ? showMessage("The audit:", response.json.reports) : showProblem(response);
});

onClick("sign-out", async () => {
  const response = await send("POST", "/logout");
  if (response.ok) {
    show(null);
    showMessage("You are signed out.");
  } else {
    showProblem(response);
  }
});

await busy(async () => {
  if (!localStorage.getItem(NOTE)) {
    return show(null);
  }
  const response = await call("GET", "/me");
  if (response.ok) {
    show(response.json.email);
  } else {
    show(null);
    showProblem(response);
  }
});
