//! A headless Chromium with a page, driven by the DevTools protocol through pipes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::TIMEOUT;

/// A browser with one page, stopped when it is dropped.
pub(crate) struct Chromium {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    calls: u64,
    page: Option<String>,
    events: Vec<Value>,
    _profile: TempDir,
}

impl Chromium {
    pub(crate) fn start() -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        // Chromium reads from descriptor 3 and writes to 4.
        let run = "exec chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
                   --no-first-run --disable-background-networking --remote-debugging-pipe \
                   --user-data-dir=\"$0\" about:blank 3<&0 4>&1 </dev/null >/dev/null 2>&1";
        let mut command = Command::new("sh");
        command.args(["-c", run]).arg(profile.path());
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", profile.path());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell");
        let to = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, from) = channel();
        thread::spawn(move || {
            for message in output.split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).expect("JSON");
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser =
            Self { child, to, from, calls: 0, page: None, events: Vec::new(), _profile: profile };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", &attach);
        browser.page = attached["sessionId"].as_str().map(str::to_owned);
        browser
    }

    /// Calls a method of the protocol, and returns its result, or `null` for an error.
    pub(crate) fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.calls += 1;
        let mut message = json!({"id": self.calls, "method": method, "params": parameters});
        if let Some(page) = &self.page {
            message["sessionId"] = json!(page);
        }
        let mut message = message.to_string().into_bytes();
        message.push(0);
        self.to.write_all(&message).expect("chromium, which make test-tools installs");
        loop {
            let message = self.from.recv_timeout(TIMEOUT);
            let message = message.expect("chromium, which make test-tools installs");
            if message["id"] == self.calls {
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    /// The value of an expression in the page; `null` while the page changes.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true});
        self.call("Runtime.evaluate", &parameters)["result"]["value"].clone()
    }

    /// Waits until an expression in the page is true.
    pub(crate) fn wait_until(&mut self, expression: &str) {
        let deadline = Instant::now() + TIMEOUT;
        while self.evaluate(expression) != true {
            if Instant::now() > deadline {
                let page = self.evaluate("location.href + document.documentElement.outerHTML");
                panic!("{expression} is not true: {page}");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Opens a URL, as typed by the user.
    pub(crate) fn navigate(&mut self, url: &str) {
        self.call("Page.navigate", &json!({"url": url}));
    }

    /// Records requests, and messages of the console, from now on.
    pub(crate) fn record(&mut self) {
        for domain in ["Network", "Runtime", "Log"] {
            self.call(&format!("{domain}.enable"), &json!({}));
        }
        self.events.clear();
    }

    /// The URLs that the page requested since [`Chromium::record`].
    pub(crate) fn requested(&self) -> Vec<&str> {
        let of_method = |event: &&Value| event["method"] == "Network.requestWillBeSent";
        let requests = self.events.iter().filter(of_method);
        requests.filter_map(|event| event["params"]["request"]["url"].as_str()).collect()
    }

    /// The errors and warnings of the console since [`Chromium::record`].
    pub(crate) fn complaints(&self) -> Vec<&Value> {
        let is_one = |event: &&Value| {
            let parameters = &event["params"];
            let level = match event["method"].as_str() {
                Some("Runtime.exceptionThrown") => return true,
                Some("Runtime.consoleAPICalled") => &parameters["type"],
                Some("Log.entryAdded") => &parameters["entry"]["level"],
                _ => return false,
            };
            level == "error" || level == "warning"
        };
        self.events.iter().filter(is_one).collect()
    }

    /// The cookies of a URL, by name.
    pub(crate) fn cookies(&mut self, url: &str) -> Vec<Value> {
        let found = self.call("Network.getCookies", &json!({"urls": [url]}));
        found["cookies"].as_array().cloned().unwrap_or_default()
    }

    /// Removes a cookie, as the browser does when it expires.
    pub(crate) fn expire_cookie(&mut self, url: &str, name: &str) {
        self.call("Network.deleteCookies", &json!({"name": name, "url": url}));
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
