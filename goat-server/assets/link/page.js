// Sends the secret of a link when the reader presses the button.
//
// The secret stays in memory, and its place in the address bar is cleared. The page's texts come from its
// template; text of a response is never parsed as HTML. Tokens of a response are not kept.
"use strict";

const LINK = /^#([a-z-]+)=([0-9A-Z]{78})$/;
const SIX_DIGITS = /^\d{6}$/;

const element = (id) => document.getElementById(id);
const texts = element("texts").content;
const form = element("form");
const password = element("password");
const code = element("code");
const button = form.querySelector("button");

/** The texts, with the start of the page. */
const start = {
  title: element("title").textContent,
  about: element("about").textContent,
  code: document.querySelector("label[for=code]").textContent,
};

/** The open link: its section of the template, its token, and a sign-in that awaits a second factor. */
let link;
let isBusy = false;

function sentence(name) {
  const found = texts.querySelector(`[data-text="${name}"]`) ?? texts.querySelector('[data-text="failed"]');
  return found.textContent;
}

/** Takes the secret out of the address bar and shows the form of its flow. */
function open() {
  const [, purpose, token] = LINK.exec(location.hash) ?? [];
  if (location.hash !== "") history.replaceState(null, "", location.pathname + location.search);
  const section = [...texts.querySelectorAll("[data-purpose]")].find(({ dataset }) => dataset.purpose === purpose);
  link = section && { section, flow: { ...section.dataset }, token };
  for (const field of [password, code]) {
    field.value = "";
    field.removeAttribute("aria-invalid");
  }
  reveal(false);
  say("", "");
  if (element("next")) element("next").hidden = true;
  show(section?.querySelector("h1").textContent ?? start.title);
  element("about").textContent = section?.querySelector(".about").textContent ?? start.about;
  const label = section?.querySelector("button")?.textContent;
  form.hidden = label === undefined;
  button.textContent = label ?? "";
  element("password-field").hidden = link?.flow.password === undefined;
  element("code-field").hidden = true;
}

function show(title) {
  element("title").textContent = title;
  document.title = title;
}

/** Says what happened: an alert or a success. */
function say(alert, done) {
  element("alert").textContent = alert;
  element("done").textContent = done;
}

function reveal(isShown) {
  element("show").checked = isShown;
  password.type = isShown ? "text" : "password";
}

/** Posts to the API; resolves to the status, the body and `Retry-After`. */
async function post(path, body, { credentials = "omit", ...headers }) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
    credentials,
    cache: "no-store",
    redirect: "error",
  });
  const json = await response.json().catch(() => ({}));
  return { isOk: response.ok, status: response.status, json, wait: response.headers.get("Retry-After") };
}

/** Sends the answer, with cookies where the flow has to do with the session in them. */
async function answer({ flow, token, pending }) {
  const body = pending ? { challenge: pending.challenge, secret: pending.secret } : { token };
  if (!element("password-field").hidden) body[flow.password] = password.value;
  if (!element("code-field").hidden) {
    const typed = code.value.trim();
    const digits = typed.replaceAll(" ", "");
    if (flow.code !== undefined && SIX_DIGITS.test(digits)) body[flow.code] = digits;
    else if (typed !== "") body[flow.recoveryCode] = typed;
  }
  if (flow.session === "started") body.session = "cookie";
  const usesCookies = flow.session === "started" || flow.session === "needed";
  const send = () => post(pending ? "v1/auth/login/confirm" : flow.path, body, usesCookies ? { credentials: "same-origin" } : {});
  const result = await send();
  if (flow.session !== "needed" || result.status !== 401) return result;
  // The access cookie has expired.
  const refreshed = await post("v1/auth/refresh", {}, { credentials: "same-origin" });
  return refreshed.isOk ? send() : result;
}

/** Shows the success of a flow; its link is used. */
function finish({ section, flow }, { data }) {
  const [title, done] = section.querySelectorAll(".done");
  link = undefined;
  form.hidden = true;
  password.value = "";
  element("about").textContent = "";
  show(title.textContent);
  say("", done.textContent.replace("{}", data?.user?.email ?? ""));
  if (element("next") && (flow.session === "none" || flow.session === "ended")) element("next").hidden = false;
  element("title").focus();
  // The reader signs in with the new password.
  if (flow.session === "ended" && data?.access_token) {
    post("v1/auth/logout", {}, { Authorization: `Bearer ${data.access_token}` }).catch(() => {});
  }
}

/** Shows the problem of an answer, and the field that it asks for. */
function fail(problem, wait) {
  const { flow } = link;
  const about = (member) => (problem.errors ?? []).filter(({ field }) => field === member);
  const asksForCode = [flow.code, flow.recoveryCode].some((member) => about(member).length > 0);
  let found = problem.code ?? "failed";
  if (found === "second-factor-required") {
    link.pending = problem;
    Object.assign(flow, { code: "code", recoveryCode: "recovery_code" });
  }
  if (found === "second-factor-required" || asksForCode) {
    element("code-field").hidden = false;
    const isEither = flow.code !== undefined;
    document.querySelector("label[for=code]").textContent = isEither ? start.code : sentence("recovery-code");
    found = isEither ? "code-required" : "recovery-code-required";
    code.focus();
  } else if (about(flow.password).length > 0) {
    const sentences = about(flow.password).map(({ message }) => passwordSentence(message));
    say(sentences.join(" "), "");
    password.setAttribute("aria-invalid", "true");
    password.focus();
    return;
  } else if (found === "invalid-challenge" && !element("code-field").hidden) {
    found = "wrong-code";
    code.setAttribute("aria-invalid", "true");
    code.focus();
  } else if (["invalid-token", "token-expired", "session-revoked", "token-reused"].includes(found)) {
    found = "unauthenticated";
  }
  say(sentence(found).replace("{}", wait ?? "1"), "");
}

/** Finds the sentence of a rule for passwords. */
function passwordSentence(message) {
  for (const rule of texts.querySelectorAll("[data-rule]")) {
    const [before, after] = rule.dataset.rule.split("{}");
    if (message === before && after === undefined) return rule.textContent;
    if (after !== undefined && message.startsWith(before) && message.endsWith(after)) {
      const value = message.slice(before.length, message.length - after.length);
      return rule.textContent.replace("{}", value);
    }
  }
  return sentence("wrong-password");
}

async function submit(event) {
  event.preventDefault();
  if (isBusy || link === undefined) return;
  const sent = link;
  isBusy = true;
  form.setAttribute("aria-busy", "true");
  say("", "");
  for (const field of [password, code]) field.removeAttribute("aria-invalid");
  const result = await answer(sent).catch(() => ({ json: { code: "no-answer" } }));
  isBusy = false;
  form.removeAttribute("aria-busy");
  // Another link was opened meanwhile.
  if (sent !== link) return;
  if (result.isOk) finish(sent, result.json);
  else fail(result.json, result.wait);
}

element("site").textContent = location.host;
element("show").addEventListener("change", ({ target }) => reveal(target.checked));
form.addEventListener("submit", submit);
addEventListener("hashchange", open);
open();
