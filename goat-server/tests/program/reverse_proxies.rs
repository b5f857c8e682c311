//! The guide to reverse proxies: its nginx configuration, run by nginx itself.

use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::process::{ADMIN, ADMIN_PASSWORD, Client, Program, TIMEOUT};

const GUIDE: &str = include_str!("../../guide/reverse-proxies.md");

/// A running nginx, stopped when it is dropped.
struct Nginx(Child);

impl Nginx {
    /// Starts nginx in a folder with this configuration of its HTTP module, and waits for the port.
    fn start(folder: &Path, http: &str, address: SocketAddr) -> Self {
        let path = folder.display();
        // All of its files are in the folder, and it does not become another user.
        let configuration = format!(
            "daemon off; master_process off; pid {path}/nginx.pid; error_log stderr;\n\
             events {{}}\n\
             http {{\n\
             access_log off; client_body_temp_path {path}/body; proxy_temp_path {path}/proxy;\n\
             fastcgi_temp_path {path}/fastcgi; uwsgi_temp_path {path}/uwsgi;\n\
             scgi_temp_path {path}/scgi;\n\
             {http}\n}}\n"
        );
        fs::write(folder.join("nginx.conf"), configuration).expect("a file");
        let mut command = Command::new("nginx");
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
        command.args(["-e", "stderr"]).stderr(Stdio::piped());
        let mut child = command.spawn().expect("nginx, which make test-tools installs");
        let deadline = Instant::now() + TIMEOUT;
        while TcpStream::connect(address).is_err() {
            if child.try_wait().expect("a child").is_some() || Instant::now() > deadline {
                let mut output = String::new();
                let _ = child.kill();
                let _ = child.stderr.take().expect("a pipe").read_to_string(&mut output);
                panic!("nginx does not listen: {output}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Self(child)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The code block of a language in the guide.
fn example(language: &str) -> &'static str {
    let start = format!("```{language}\n");
    let (_, rest) = GUIDE.split_once(&start).expect("an example");
    rest.split_once("```").expect("its end").0
}

/// An address that is free now.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

/// One page with two hundred assets behind `auth_request`, under the default limits.
#[test]
fn page_with_two_hundred_assets_behind_nginx_is_not_refused() {
    let program = Program::new()
        .with("GOAT_TRUSTED_PROXIES", "127.0.0.1")
        .with("GOAT_ADMIN_PASSWORD", ADMIN_PASSWORD);
    let (server, goat) = program.serve();
    let direct = Client::new(goat);
    let credentials = json!({"email": ADMIN, "password": ADMIN_PASSWORD});
    let signed_in = direct.post("/api/v1/auth/login", None, &credentials).expect("a response");
    let data = &signed_in.body["data"];
    let token = data["access_token"].as_str().expect("a token");

    let (front, app) = (free_address(), free_address());
    let guide = example("nginx");
    let mut site = guide.to_owned();
    for (of_guide, here) in [
        ("127.0.0.1:8080", goat.to_string()),
        ("127.0.0.1:3000", app.to_string()),
        ("listen 80", format!("listen {front}")),
    ] {
        assert!(site.contains(of_guide), "{of_guide}: {guide}");
        site = site.replace(of_guide, &here);
    }
    // The application shows the user that it is told.
    let application = format!(
        "server {{ listen {app}; location / {{ default_type text/plain; \
         return 200 \"$http_x_goat_user $http_x_goat_role $uri\"; }} }}"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let _nginx = Nginx::start(folder.path(), &format!("{site}\n{application}"), front);

    let proxy = Client::new(front);
    let user = data["user"]["id"].as_str().expect("an id");
    // A client cannot name another user.
    let headers =
        format!("authorization: Bearer {token}\r\nx-goat-user: forged\r\nx-goat-role: forged\r\n");
    for number in 0..=200 {
        let path = if number == 0 { "/".to_owned() } else { format!("/asset-{number}.js") };
        let response = proxy.send("GET", &path, &headers, b"").expect("a response");
        let seen = format!("{user} admin {path}");
        assert_eq!((response.status, &response.text), (200, &seen), "{path}");
    }
    // The limits of the user's own calls are not charged: one call of each.
    let own = direct.get("/api/v1/user", token).expect("a response");
    assert_eq!(own.header("ratelimit"), r#""address";r=299;t=60, "user";r=59;t=60"#);
    let post = proxy.post("/form", Some(token), &json!({"a": 1})).expect("a response");
    assert_eq!(post.status, 200, "a request with a body");
    for bearer in [None, Some("nonsense")] {
        let refused = proxy.call("GET", "/", bearer, None).expect("a response");
        assert_eq!(refused.status, 401);
    }
    server.stop();
}
