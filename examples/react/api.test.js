import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { call, signIn } from "./src/api.js";

/** goat with a session whose access cookie has expired, or that has ended. */
let goat;

beforeEach(() => {
  goat = { hasAccess: false, refresh: 200, calls: [] };
  globalThis.fetch = async (path, { method, body }) => {
    goat.calls.push(`${method} ${path}`);
    await null;
    if (path.endsWith("/auth/refresh")) {
      assert.equal(body, "{}");
      goat.hasAccess = goat.refresh === 200;
      return Response.json({ data: {}, detail: "over" }, { status: goat.refresh });
    }
    return Response.json({ data: "served", detail: "denied" }, { status: goat.hasAccess ? 200 : 401 });
  };
});

test("calls with an expired access cookie share one renewal", async () => {
  const calls = ["/user", "/sessions", "/role"].map((path) => call("GET", path));
  assert.deepEqual(await Promise.all(calls), ["served", "served", "served"]);
  assert.equal(goat.calls.filter((one) => one.includes("refresh")).length, 1);
});

test("an ended session is a 401, and a renewal that cannot be decided is not", async () => {
  for (goat.refresh of [401, 503]) {
    await assert.rejects(call("GET", "/user"), { status: goat.refresh });
  }
});

test("a wrong password renews nothing", async () => {
  await assert.rejects(signIn("ann@example.org", "wrong"), { status: 401, message: "denied" });
  assert.equal(goat.calls.length, 1);
});
