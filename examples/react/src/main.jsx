import { StrictMode, useCallback, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { call, signIn } from "./api.js";

function App() {
  const [user, setUser] = useState(); // undefined until goat has responded, null without a session
  const [message, setMessage] = useState("");

  /** Runs an action and shows its problem. A 401 means that the session has ended. */
  const run = useCallback(async (action) => {
    setMessage("");
    try {
      await action();
    } catch (problem) {
      if (problem.status === 401) setUser(null);
      setMessage(problem.message);
    }
  }, []);

  useEffect(() => {
    run(async () => setUser(await call("GET", "/user"))).then(() => setMessage(""));
  }, [run]);

  return (
    <main>
      <h1>Sessions</h1>
      {user === null && <SignIn run={run} onUser={setUser} />}
      {user && <Sessions run={run} user={user} onEnd={() => setUser(null)} />}
      <p role="alert">{message}</p>
    </main>
  );
}

function SignIn({ run, onUser }) {
  const submit = (form) =>
    run(async () => onUser((await signIn(form.get("email"), form.get("password"))).user));
  return (
    <form action={submit}>
      <label>
        E-mail address <input name="email" type="email" autoComplete="username" required />
      </label>
      <label>
        Password <input name="password" type="password" autoComplete="current-password" required />
      </label>
      <button>Sign in</button>
    </form>
  );
}

function Sessions({ run, user, onEnd }) {
  const [sessions, setSessions] = useState([]);
  const load = useCallback(
    () => run(async () => setSessions(await call("GET", "/sessions"))),
    [run],
  );
  useEffect(() => void load(), [load]);

  const end = (session) =>
    run(async () => {
      await call("DELETE", `/sessions/${session.id}`);
      await load();
    });
  const signOut = () =>
    run(async () => {
      await call("POST", "/auth/logout");
      onEnd();
    });

  return (
    <section>
      <p>
        Signed in as <strong>{user.email}</strong>. <button onClick={load}>Reload</button>{" "}
        <button onClick={signOut}>Sign out</button>
      </p>
      <ul>
        {sessions.map((session) => (
          <li key={session.id}>
            {session.device ?? "unknown device"}, since {session.created_at}{" "}
            {session.current ? "(this one)" : <button onClick={() => end(session)}>End</button>}
          </li>
        ))}
      </ul>
    </section>
  );
}

createRoot(document.getElementById("root")).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
