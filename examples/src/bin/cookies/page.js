// What the page does. It never sees a token: the browser keeps them in cookies that no script can read,
// and sends them along by itself.

const element = (id) => document.getElementById(id);

// No secret, only a note for the next visit: whether it is worth asking who is signed in.
const NOTE = "signed-in";

async function send(method, path, body) {
  const headers = body ? { "content-type": "application/json" } : {};
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  return { ok: answer.ok, status: answer.status, json: text ? JSON.parse(text) : {} };
}

// One refresh at a time, however many calls wait for it. Two tabs need no more care than this: they share
// the cookies, and what both send at once goat answers alike.
let refreshing = null;

function refresh() {
  refreshing ??= send("POST", "/refresh").finally(() => {
    refreshing = null;
  });
  return refreshing;
}

// A call as whoever is signed in. The cookie of the access token lives as long as the token: when it is
// gone, the answer is a 401, and the call is made again with the next one.
async function call(method, path) {
  const answer = await send(method, path);
  if (answer.status !== 401) {
    return answer;
  }
  const refreshed = await refresh();
  if (refreshed.status === 401) {
    show(null);
    return { ...refreshed, json: { detail: "Your session has ended. Sign in again." } };
  }
  return refreshed.ok ? send(method, path) : refreshed;
}

function show(email) {
  element("member").hidden = email === null;
  element("stranger").hidden = email !== null;
  element("name").textContent = email ?? "";
  if (email === null) {
    localStorage.removeItem(NOTE);
  } else {
    localStorage.setItem(NOTE, "yes");
  }
}

function say(text, items = []) {
  element("said").textContent = text;
  element("said").classList.remove("bad");
  element("list").replaceChildren(
    ...items.map((item) => Object.assign(document.createElement("li"), { textContent: item })),
  );
}

// A problem document has a sentence for people, or says what is wrong with each field.
const FIELDS = { email: "The e-mail address", password: "The password" };

function complain({ json }) {
  const reasons = (json.errors ?? []).map(({ field, message }) => `${FIELDS[field]} ${message}.`);
  const sentence = json.detail ?? "That did not work. Try again in a moment.";
  say(reasons.length > 0 ? "That will not do yet:" : sentence, reasons);
  element("said").classList.add("bad");
}

// Runs what a button is for, with all of them still until it is done.
async function busy(act) {
  const buttons = [...document.querySelectorAll("button")];
  buttons.forEach((button) => (button.disabled = true));
  try {
    await act();
  } catch {
    complain({ json: { detail: "The server cannot be reached. Try again in a moment." } });
  } finally {
    buttons.forEach((button) => (button.disabled = false));
  }
}

async function enter(isNew) {
  const form = { email: element("email").value, password: element("password").value };
  if (isNew) {
    const signedUp = await send("POST", "/signup", form);
    if (!signedUp.ok) {
      return complain(signedUp);
    }
  }
  const signedIn = await send("POST", "/login", form);
  if (!signedIn.ok) {
    return complain(signedIn);
  }
  element("password").value = "";
  show(signedIn.json.email);
  say(isNew ? "Welcome! Your account is ready." : "Welcome back.");
}

element("stranger").addEventListener("submit", (event) => {
  event.preventDefault();
  busy(() => enter(event.submitter?.id === "sign-up"));
});

const onClick = (id, act) => element(id).addEventListener("click", () => busy(act));

onClick("read", async () => {
  const answer = await call("GET", "/reports");
  answer.ok ? say("Your reports:", answer.json.reports) : complain(answer);
});

onClick("export", async () => {
  const answer = await call("POST", "/exports");
  answer.ok ? say(`Exported as ${answer.json.exported}.`) : complain(answer);
});

onClick("audit", async () => {
  const answer = await call("GET", "/audit");
  answer.ok ? say("The audit:", answer.json.reports) : complain(answer);
});

onClick("sign-out", async () => {
  const answer = await call("POST", "/logout");
  // Whose session was over before is signed out as well.
  if (answer.ok || answer.status === 401) {
    show(null);
    say("You are signed out.");
  } else {
    complain(answer);
  }
});

await busy(async () => {
  if (!localStorage.getItem(NOTE)) {
    return show(null);
  }
  const answer = await call("GET", "/me");
  if (answer.ok) {
    show(answer.json.email);
  } else {
    show(null);
    complain(answer);
  }
});
