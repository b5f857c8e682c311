//! A reverse proxy with its recipe of the deployment files, and an application behind it.

use std::env;
use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Client, TIMEOUT};

/// Names the proxy: `nginx` (the default), `caddy`, `envoy` or `traefik`. `.ci/proxies` runs all of them.
const VARIABLE: &str = "GOAT_TEST_PROXY";

/// A running proxy and application, stopped when it is dropped.
pub(crate) struct Proxy {
    _application: Running,
    _proxy: Running,
    _folder: TempDir,
}

impl Proxy {
    /// Starts the proxy with its recipe before goat, and an application of these directives of nginx.
    pub(crate) fn before(
        front: SocketAddr,
        goat: SocketAddr,
        application: SocketAddr,
        directives: &str,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // An application that reads X_Goat_User as X-Goat-User.
        let site = format!(
            "server {{ listen {application}; underscores_in_headers on; \
             location / {{ {directives} }} }}"
        );
        let mut behind = Running::start(nginx(&folder.path().join("application"), &site));
        behind.wait_until(|| TcpStream::connect(application).is_ok());
        let mut proxy = Running::start(command(folder.path(), front, goat, application));
        // Traefik listens before it has read its routes.
        let get = || Client::new(front).call("GET", "/", None, None);
        proxy.wait_until(|| get().is_some_and(|response| response.status != 404));
        Self { _application: behind, _proxy: proxy, _folder: folder }
    }
}

struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Self {
        command.env("PATH", path()).stdout(Stdio::null()).stderr(Stdio::piped());
        let started = command.spawn();
        Self(started.unwrap_or_else(|error| panic!("{command:?}: {error}; see `make test-tools`")))
    }

    fn wait_until(&mut self, is_ready: impl Fn() -> bool) {
        let deadline = Instant::now() + TIMEOUT;
        while !is_ready() {
            if self.0.try_wait().expect("a child").is_some() || Instant::now() > deadline {
                let mut output = String::new();
                let _ = self.0.kill();
                let _ = self.0.stderr.take().expect("a pipe").read_to_string(&mut output);
                panic!("the proxy does not listen: {output}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Debian installs nginx outside the path of an ordinary user.
fn path() -> String {
    let path = env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
}

/// Returns the command that runs the proxy with its recipe, and with the addresses of a test in it.
fn command(folder: &Path, front: SocketAddr, goat: SocketAddr, application: SocketAddr) -> Command {
    let with = |recipe: &str, (of_recipe, here): (&str, &str)| {
        let ports = [(of_recipe, here), ("8080", &port(goat)), ("3000", &port(application))];
        ports.into_iter().fold(recipe.to_owned(), |text, (of_recipe, here)| {
            assert!(text.contains(of_recipe), "{of_recipe}: {recipe}");
            text.replace(of_recipe, here)
        })
    };
    let proxy = env::var(VARIABLE).unwrap_or_else(|_| "nginx".to_owned());
    let file = folder.join(format!("{proxy}.yaml"));
    let mut command = Command::new(&proxy);
    let text = match proxy.as_str() {
        "nginx" => {
            let listen = ("listen 80", &*format!("listen {front}"));
            return nginx(folder, &with(include_str!("../../../deploy/nginx.conf"), listen));
        }
        "caddy" => {
            // Its state.
            command.env("XDG_CONFIG_HOME", folder).env("XDG_DATA_HOME", folder);
            command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
            let site = format!("{{\nadmin off\n}}\n:{} {{\nbind 127.0.0.1\n", front.port());
            with(include_str!("../../../deploy/Caddyfile"), (":80 {\n", &site))
        }
        "envoy" => {
            command.args(["--concurrency", "1", "--disable-hot-restart", "-c"]).arg(&file);
            let address = format!("address: 127.0.0.1, port_value: {} ", front.port());
            let listen = ("address: 0.0.0.0, port_value: 80 ", &*address);
            with(include_str!("../../../deploy/envoy.yaml"), listen)
        }
        "traefik" => {
            command.arg(format!("--entryPoints.web.address={front}"));
            command.arg(format!("--providers.file.filename={}", file.display()));
            with(include_str!("../../../deploy/traefik.yaml"), ("", ""))
        }
        other => panic!("{VARIABLE}={other}"),
    };
    fs::write(file, text).expect("a file");
    command
}

fn port(address: SocketAddr) -> String {
    address.port().to_string()
}

/// Returns the command that runs nginx with this configuration of its HTTP module. All of its files are in
/// the folder, and it does not become another user.
fn nginx(folder: &Path, http: &str) -> Command {
    fs::create_dir_all(folder).expect("a folder");
    let path = folder.display();
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
    command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
    command.args(["-e", "stderr"]);
    command
}

/// An address that is free now.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}
