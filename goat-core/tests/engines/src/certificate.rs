//! A private certificate authority and a certificate for 127.0.0.1, made with `openssl`.

use std::path::{Path, PathBuf};

use crate::find;
use crate::supervisor::{Supervisor, output};

pub(crate) struct Certificate {
    /// CA certificate for clients.
    pub(crate) authority: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

const EXTENSIONS: &str = "[authority]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign
subjectKeyIdentifier=hash
[server]
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectAltName=IP:127.0.0.1,DNS:localhost
";

impl Certificate {
    /// Creates both in the instance's folder, as the engine's user.
    pub(crate) fn make(supervisor: &Supervisor) -> Certificate {
        let openssl = find::program(&["openssl"], "openssl");
        let folder = supervisor.folder();
        std::fs::write(folder.join("extensions"), EXTENSIONS).expect("the folder can be written");
        let run = |line: &str| {
            let mut command = supervisor.command(&openssl);
            command.args(line.split_whitespace());
            output(&mut command).unwrap_or_else(|error| panic!("openssl {line}: {error}"));
        };
        for (name, subject) in [("authority", "/CN=engines"), ("server", "/CN=localhost")] {
            run(&format!(
                "req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
                 -keyout {name}.key -out {name}.request -subj {subject}"
            ));
        }
        let common = "x509 -req -days 2 -extfile extensions";
        run(&format!(
            "{common} -in authority.request -signkey authority.key -extensions authority \
             -out authority.crt"
        ));
        run(&format!(
            "{common} -in server.request -CA authority.crt -CAkey authority.key -CAcreateserial \
             -extensions server -out server.crt"
        ));
        let path = |name: &str| Path::new(folder).join(name);
        Certificate {
            authority: path("authority.crt"),
            certificate: path("server.crt"),
            key: path("server.key"),
        }
    }
}
