//! nginx with the recipe of the deployment files.

use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::TIMEOUT;

const RECIPE: &str = include_str!("../../../deploy/nginx.conf");

/// A running nginx, stopped when it is dropped.
pub(crate) struct Nginx {
    child: Child,
    _folder: TempDir,
}

impl Nginx {
    /// Starts nginx with the recipe before goat, and with an application of these directives.
    pub(crate) fn before(
        front: SocketAddr,
        goat: SocketAddr,
        application: SocketAddr,
        directives: &str,
    ) -> Self {
        Self::start(&site(front, goat, application, directives), front)
    }

    /// Starts nginx with this configuration of its HTTP module, and waits for the port.
    fn start(http: &str, address: SocketAddr) -> Self {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder: &Path = temporary.path();
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
        Self { child, _folder: temporary }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The recipe, with the addresses of a test, and an application.
fn site(front: SocketAddr, goat: SocketAddr, application: SocketAddr, directives: &str) -> String {
    let mut site = RECIPE.to_owned();
    for (of_recipe, here) in [
        ("127.0.0.1:8080", goat.to_string()),
        ("127.0.0.1:3000", application.to_string()),
        ("listen 80", format!("listen {front}")),
    ] {
        assert!(site.contains(of_recipe), "{of_recipe}: {RECIPE}");
        site = site.replace(of_recipe, &here);
    }
    format!("{site}\nserver {{ listen {application}; location / {{ {directives} }} }}")
}

/// An address that is free now.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}
