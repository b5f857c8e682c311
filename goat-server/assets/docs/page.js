// Renders the OpenAPI document beside this page, with a form to try each operation.
//
// Builds the page through the DOM only: text from the document or a response is never parsed as HTML.
// Nothing is stored, and no request goes to another server.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];

/** The path under which the server is mounted; this page is `<root>/api/docs`. */
const root = location.pathname.replace(/\/api\/docs$/, "");

const filter = document.getElementById("filter");
const token = document.getElementById("token");
const state = document.getElementById("state");

/** The OpenAPI document. */
let api;

/** Creates an element with properties and children. String children become text nodes. */
function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Splits text into text and code elements at backticks. */
function prose(text) {
  return (text ?? "").split("`").map((part, index) => (index % 2 ? make("code", {}, part) : part));
}

/** Splits text into paragraphs. */
function paragraphs(text) {
  const parts = (text ?? "").split(/\n\n+/).filter((part) => part.trim() !== "");
  return parts.map((part) => make("p", {}, ...prose(part)));
}

/** Resolves a reference within the document. */
function resolve(value) {
  while (value?.$ref) {
    const names = value.$ref.replace(/^#\//, "").split("/");
    value = names.reduce((inner, name) => inner?.[name], api);
  }
  return value ?? {};
}

/** Merges the parts of a schema (`allOf`, `oneOf`). */
function whole(schema) {
  const { allOf, oneOf, ...own } = resolve(schema);
  const choice = (oneOf ?? []).filter((one) => one.type !== "null").slice(0, 1);
  const parts = [...(allOf ?? []), ...choice].map(whole);
  const merged = Object.assign({}, ...parts, own);
  const properties = Object.assign({}, ...parts.map((part) => part.properties), own.properties);
  if (Object.keys(properties).length > 0) merged.properties = properties;
  merged.required = [...parts.flatMap((part) => part.required ?? []), ...(own.required ?? [])];
  return merged;
}

/** Describes the type of a schema. */
function typeOf(schema) {
  const types = [schema.type ?? (schema.properties ? "object" : "any")].flat();
  const names = types.map((type) => {
    if (type !== "array") return type;
    const items = whole(schema.items);
    return `array of ${typeOf(items)}`;
  });
  const notes = [];
  if (schema.format) notes.push(schema.format);
  if (schema.enum) notes.push(schema.enum.join(", "));
  if (schema.minimum !== undefined || schema.maximum !== undefined) {
    notes.push(`${schema.minimum ?? "…"} to ${schema.maximum ?? "…"}`);
  }
  if (schema.default !== undefined) notes.push(`default ${schema.default}`);
  return names.join(" or ") + (notes.length > 0 ? ` (${notes.join("; ")})` : "");
}

/** Lists the members of an object schema, or of the items of an array schema. */
function schemaList(schema) {
  const inner = schema.items ? whole(schema.items) : schema;
  const members = Object.entries(inner.properties ?? {});
  if (members.length === 0) return null;
  const list = make("ul", { className: "schema" });
  for (const [name, member] of members) {
    const value = whole(member);
    const optional = inner.required.includes(name) ? "" : ", optional";
    list.append(
      make(
        "li",
        {},
        make("code", {}, name),
        make("span", { className: "muted" }, ` ${typeOf(value)}${optional} `),
        ...prose(value.description),
        schemaList(value),
      ),
    );
  }
  return list;
}

/** Builds an example value of a schema. */
function example(schema) {
  const value = whole(schema);
  if (value.example !== undefined) return value.example;
  if (value.examples?.length > 0) return value.examples[0];
  const type = [value.type ?? "object"].flat()[0];
  switch (type) {
    case "array":
      return [example(value.items)];
    case "boolean":
      return true;
    case "integer":
    case "number":
      return value.default ?? value.minimum ?? 0;
    case "string":
      return value.default ?? value.enum?.[0] ?? "";
    default: {
      const members = Object.entries(value.properties ?? {});
      const shown = members.filter(([name]) => value.required.includes(name));
      const chosen = shown.length > 0 ? shown : members.slice(0, 1);
      return Object.fromEntries(chosen.map(([name, member]) => [name, example(member)]));
    }
  }
}

/** Returns the media type and the schema of a request body or a response. */
function contentOf(holder) {
  const [type, content] = Object.entries(holder?.content ?? {})[0] ?? [];
  return type === undefined ? null : { type, schema: whole(content.schema) };
}

let fields = 0;

/** Adds a labelled control to a form. */
function field(form, label, note, control) {
  fields += 1;
  const id = `field-${fields}`;
  control.id = id;
  const hint = make("small", { id: `${id}-note` }, ...note);
  control.setAttribute("aria-describedby", hint.id);
  form.append(make("p", {}, make("label", { htmlFor: id }, label), control, hint));
  return control;
}

/** Adds the parameter fields of an operation; returns a function that reads them. */
function parameterFields(operation, form) {
  const controls = (operation.parameters ?? []).map(resolve).map((parameter) => {
    const schema = whole(parameter.schema);
    const needed = parameter.in === "path" || parameter.required === true;
    const repeats = schema.type === "array";
    const control = make("input", { required: needed, autocomplete: "off", spellcheck: false });
    const inner = repeats ? whole(schema.items) : schema;
    if (inner.enum && !repeats) control.placeholder = inner.enum.join(", ");
    const note = [typeOf(schema), ". ", ...prose(parameter.description)];
    if (repeats) note.push(" Separate several values with commas.");
    field(form, `${parameter.name} (${parameter.in})`, note, control);
    return { parameter, control, repeats };
  });
  return () => {
    const path = {};
    const query = new URLSearchParams();
    for (const { parameter, control, repeats } of controls) {
      const text = control.value.trim();
      if (text === "") continue;
      if (parameter.in === "path") {
        path[parameter.name] = text;
      } else {
        const values = repeats ? text.split(",").map((part) => part.trim()) : [text];
        values.forEach((value) => query.append(parameter.name, value));
      }
    }
    return { path, query };
  };
}

/** Adds the body field of an operation; returns a function that reads it. */
function bodyField(operation, form) {
  const content = contentOf(operation.requestBody);
  if (content === null) return () => undefined;
  const text = JSON.stringify(example(content.schema), null, 2);
  const control = make("textarea", {
    value: text,
    rows: text.split("\n").length + 1,
    spellcheck: false,
    autocomplete: "off",
  });
  field(form, "Body", [content.type], control);
  const members = schemaList(content.schema);
  if (members) form.append(members);
  return () => control.value;
}

/** Sends the request of a form and shows the response. */
async function send(method, path, operation, values, body, outcome) {
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(values.path[name]));
  const query = values.query.toString();
  const url = root + filled + (query === "" ? "" : `?${query}`);
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (operation.security?.length > 0 && token.value.trim() !== "") {
    headers.Authorization = `Bearer ${token.value.trim()}`;
  }
  const options = { method: method.toUpperCase(), headers, body, cache: "no-store" };
  const started = performance.now();
  try {
    const response = await fetch(url, { ...options, credentials: "omit", redirect: "manual" });
    const text = await response.text();
    show(outcome, url, options.method, response, text, performance.now() - started);
  } catch {
    const sentence = "No response. The server cannot be reached, or the browser blocked the request.";
    outcome.replaceChildren(make("p", { className: "failure" }, sentence));
  }
}

/** Shows a response, and fills in the access token that it contains. */
function show(outcome, url, method, response, text, took) {
  let shown = text;
  let value;
  try {
    value = JSON.parse(text);
    shown = JSON.stringify(value, null, 2);
  } catch {
    // Not JSON: shown unchanged.
  }
  const kind = response.ok ? "success" : "failure";
  const line = `${response.status} ${response.statusText}`.trim();
  outcome.replaceChildren(
    make("p", {}, make("code", {}, `${method} ${url}`)),
    make("p", {}, make("strong", { className: kind }, line), ` in ${Math.round(took)} ms`),
  );
  if (typeof value?.data?.access_token === "string") {
    token.value = value.data.access_token;
    outcome.append(make("p", {}, "The access token was filled in at the top of the page."));
  }
  const headers = [...response.headers].map(([name, content]) => `${name}: ${content}`).join("\n");
  const details = make("details", {}, make("summary", {}, "Headers"), make("pre", {}, headers));
  outcome.append(details);
  if (shown !== "") outcome.append(make("pre", { tabIndex: 0 }, shown));
}

/** Builds the form that sends a request. */
function tryForm(method, path, operation) {
  const form = make("form");
  const inner = make("div", { className: "fields" });
  const readValues = parameterFields(operation, inner);
  const readBody = bodyField(operation, inner);
  const button = make("button", { type: "submit" }, "Send");
  const outcome = make("div", { className: "outcome", hidden: true });
  outcome.setAttribute("role", "status");
  form.append(inner, button, outcome);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    outcome.hidden = false;
    await send(method, path, operation, readValues(), readBody(), outcome);
    button.disabled = false;
    button.focus();
  });
  return form;
}

/** Builds the table of responses. */
function responseTable(operation) {
  const rows = make("tbody");
  for (const [status, holder] of Object.entries(operation.responses ?? {})) {
    const response = resolve(holder);
    const content = contentOf(response);
    const isProblem = content?.type === "application/problem+json";
    const cell = make("td", {}, ...prose(response.description));
    if (content !== null && !isProblem) {
      const members = schemaList(content.schema);
      if (members) cell.append(members);
    }
    rows.append(make("tr", {}, make("th", { scope: "row" }, status), cell));
  }
  const heads = ["Status", "Description"].map((name) => make("th", { scope: "col" }, name));
  return make("table", {}, make("thead", {}, make("tr", {}, ...heads)), rows);
}

/** Builds a collapsed operation; its content is built when it is first expanded. */
function operationElement(method, path, operation) {
  const copy = document.getElementById("operation").content.cloneNode(true);
  const details = copy.querySelector("details");
  details.classList.add(method);
  details.id = operation.operationId;
  details.querySelector(".method").textContent = method.toUpperCase();
  details.querySelector(".path").textContent = path;
  details.querySelector(".summary").textContent = operation.summary ?? "";
  const words = [method, path, operation.summary, operation.description, operation.operationId];
  details.dataset.words = words.join(" ").toLowerCase();
  const fill = () => {
    const body = details.querySelector(".body");
    const access = operation.security?.length > 0 ? "Requires an access token." : "No authentication required.";
    body.append(
      ...paragraphs(operation.description),
      make("p", { className: "muted" }, access),
      make("h3", {}, "Try it"),
      tryForm(method, path, operation),
      make("h3", {}, "Responses"),
      responseTable(operation),
    );
  };
  details.addEventListener("toggle", fill, { once: true });
  return details;
}

/** Renders the operations of each group. */
function render() {
  const main = document.getElementById("operations");
  const groups = document.getElementById("groups");
  for (const tag of api.tags ?? []) {
    const heading = make("h2", { id: `group-${tag.name}` }, tag.name);
    const section = make("section", {}, heading, ...paragraphs(tag.description));
    section.setAttribute("aria-labelledby", heading.id);
    for (const [path, item] of Object.entries(api.paths)) {
      for (const method of METHODS) {
        if (item[method]?.tags?.includes(tag.name)) {
          section.append(operationElement(method, path, item[method]));
        }
      }
    }
    main.append(section);
    groups.append(make("a", { href: `#${heading.id}` }, tag.name));
  }
}

/** Filters the operations by the search text. */
function find() {
  const words = filter.value.toLowerCase().split(/\s+/).filter((word) => word !== "");
  let found = 0;
  for (const section of document.querySelectorAll("main section")) {
    let any = false;
    for (const operation of section.querySelectorAll(".operation")) {
      const fits = words.every((word) => operation.dataset.words.includes(word));
      operation.hidden = !fits;
      any ||= fits;
      found += fits ? 1 : 0;
    }
    section.hidden = !any;
  }
  state.textContent = words.length === 0 ? "" : `${found} ${found === 1 ? "operation" : "operations"} found`;
}

/** Expands the operation named in the URL fragment. */
function open() {
  const target = document.getElementById(location.hash.slice(1));
  if (target?.matches("details")) {
    target.open = true;
    target.scrollIntoView();
  }
}

async function start() {
  try {
    const response = await fetch("openapi.json", { credentials: "omit" });
    if (!response.ok) throw new Error(String(response.status));
    api = await response.json();
  } catch {
    state.textContent = "The OpenAPI document could not be loaded. Reload the page to try again.";
    return;
  }
  document.title = `${api.info.title} API ${api.info.version}`;
  document.getElementById("title").textContent = document.title;
  const description = document.getElementById("description");
  description.replaceWith(...paragraphs(api.info.description));
  state.textContent = "";
  render();
  filter.addEventListener("input", find);
  addEventListener("hashchange", open);
  document.getElementById("tools").addEventListener("submit", (event) => event.preventDefault());
  open();
}

start();
