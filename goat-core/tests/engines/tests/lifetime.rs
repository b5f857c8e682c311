//! Engines exit with the process that started them, also if that crashes or is killed.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use goat_engines::{Postgres, PostgresOptions, Redis, RedisOptions};

/// How long cleanup may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// How the owner of the engines ends: value of the variable.
const WAY: &str = "GOAT_ENGINES_OWNER_ENDS_BY";

/// Number of processes whose working directory is in the folder, which may be gone.
fn processes_in(folder: &Path) -> usize {
    let entries = std::fs::read_dir("/proc").expect("a system with /proc");
    let folders =
        entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path().join("cwd")).ok());
    let folder = folder.to_string_lossy().into_owned();
    folders.filter(|path| path.to_string_lossy().starts_with(&folder)).count()
}

fn is_left(folders: &[PathBuf]) -> bool {
    folders.iter().any(|folder| folder.exists() || processes_in(folder) > 0)
}

/// Runs this test program with only the test below, which owns engines, and reads their folders.
fn owner(way: &str) -> (Child, BufReader<impl Read>, Vec<PathBuf>) {
    let program = std::env::current_exe().expect("a running program");
    let mut child = Command::new(program)
        .args(["owner_of_engines", "--exact", "--ignored", "--nocapture"])
        .env(WAY, way)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it can be run");
    let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut folders = Vec::new();
    while folders.len() < 2 {
        let mut line = String::new();
        assert!(output.read_line(&mut line).expect("a line") > 0, "the owner ended too early");
        if let Some((_, folder)) = line.trim_end().split_once("engine in ") {
            folders.push(PathBuf::from(folder));
        }
    }
    assert!(folders.iter().all(|folder| folder.exists() && processes_in(folder) > 0));
    (child, output, folders)
}

#[test]
#[ignore = "started and ended by other tests of this file"]
fn owner_of_engines() {
    let Ok(way) = std::env::var(WAY) else { return };
    // One that is never dropped, and one that a panic drops.
    let redis = Redis::start(RedisOptions::default());
    println!("\nengine in {}", Postgres::shared().folder().display());
    println!("\nengine in {}", redis.folder().display());
    let _ = std::io::stdin().read(&mut [0]);
    match way.as_str() {
        "abort" => std::process::abort(),
        "exit" => std::process::exit(7),
        "panic" => panic!("as requested"),
        _ => {}
    }
}

#[test]
fn engines_are_removed_when_their_owner_exits() {
    for way in ["kill", "abort", "exit", "panic", "return"] {
        let (mut child, mut output, folders) = owner(way);
        if way == "kill" {
            child.kill().expect("it runs");
        } else {
            drop(child.stdin.take());
        }
        let ended = child.wait().expect("it ends");
        assert_eq!(ended.success(), way == "return", "{way}: {ended}");
        let begun = Instant::now();
        // No engine inherits the owner's output, so reading it reaches the end.
        output.read_to_end(&mut Vec::new()).expect("an end");
        while is_left(&folders) {
            assert!(begun.elapsed() < LIMIT, "{way}: {folders:?} is left");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn dropped_engines_are_removed() {
    let postgres = Postgres::start(PostgresOptions::default());
    let redis = Redis::start(RedisOptions::default());
    let folders = [postgres.folder().to_owned(), redis.folder().to_owned()];
    assert!(folders.iter().all(|folder| folder.exists() && processes_in(folder) > 0));
    drop((postgres, redis));
    assert!(!is_left(&folders));
}

#[test]
fn engines_that_are_down_or_frozen_are_removed_when_dropped() {
    let killed = Postgres::start(PostgresOptions::default());
    let stopped = Redis::start(RedisOptions::default());
    let frozen = Redis::start(RedisOptions::default());
    killed.kill();
    stopped.stop();
    frozen.freeze();
    let folders =
        [&killed.folder(), &stopped.folder(), &frozen.folder()].map(|path| path.to_path_buf());
    drop((killed, stopped, frozen));
    assert!(!is_left(&folders));
}
