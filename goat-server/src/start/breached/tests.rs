//! The list at the start, and replaced, cut or removed while the server runs.

use std::fs;

use super::*;
use crate::start::settings::EXIT_STATUS;

const TIMEOUT: Duration = Duration::from_secs(60);

/// Returns lines of evenly distributed hashes, and two of their hashes.
fn lines(number: u64) -> (String, [Hash; 2]) {
    let hash = |at: u64| {
        let mut hash = [0; 20];
        hash[..8].copy_from_slice(&(at * (u64::MAX / number)).to_be_bytes());
        hash
    };
    let line = |at: u64| {
        let digits: String = hash(at).iter().map(|byte| format!("{byte:02X}")).collect();
        format!("{digits}:{}\r\n", at + 1)
    };
    ((0..number).map(line).collect(), [hash(number / 3), hash(number - 1)])
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pwned.txt");
    (folder, path)
}

fn refused(path: &Path) -> String {
    let failure = BreachedFile::open(path, TIMEOUT).expect_err("a refusal");
    assert_eq!(failure.exit_status(), EXIT_STATUS);
    let text = failure.to_string();
    assert!(text.starts_with("GOAT_PASSWORD_BREACHED_FILE: the list "), "{text}");
    assert!(text.contains("pwned.txt"), "{text}");
    text
}

async fn found(list: &BreachedFile, hash: Hash) -> Option<bool> {
    match list.contains(&Secret::new(hash)).await {
        Ok(found) => Some(found),
        Err(error) => {
            assert!(error.is_unavailable());
            None
        }
    }
}

#[test]
fn unusable_list_is_refused_with_its_fault() {
    let (folder, path) = folder();
    assert!(refused(&path).contains("No such file"));
    fs::create_dir(&path).expect("a folder");
    assert!(refused(&path).ends_with("it cannot be read (it is not a regular file)"));
    fs::remove_dir(&path).expect("it is ours");
    for (text, fault) in [
        ("", "it is empty"),
        ("letmein\n", "line 1 does not begin with a SHA-1"),
        ("00000000000000000000000000000000:7\n", "line 1 begins with an NTLM hash"),
    ] {
        fs::write(&path, text).expect("space");
        assert!(refused(&path).contains(fault), "{fault}");
    }
    let (text, _) = lines(2000);
    fs::write(&path, text.trim_end().trim_end_matches(|c: char| c != ':')).expect("space");
    assert!(refused(&path).ends_with("the last line does not end with a count"));
    drop(folder);
}

/// The open of a pipe would wait for a writer.
#[test]
fn pipe_is_refused_at_once() {
    let (_folder, path) = folder();
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).expect("a pipe");
    assert!(refused(&path).contains("it is not a regular file"));
}

#[tokio::test]
async fn list_that_is_moved_into_the_place_is_used() {
    let (folder, path) = folder();
    let (old, [old_hash, _]) = lines(1000);
    fs::write(&path, old).expect("space");
    let list = BreachedFile::open(&path, TIMEOUT).expect("a list");
    let new_hash = [0x12; 20];
    assert_eq!(found(&list, old_hash).await, Some(true));
    assert_eq!(found(&list, new_hash).await, Some(false));
    let next = folder.path().join("next.txt");
    fs::write(&next, format!("{}:3\n", "12".repeat(20))).expect("space");
    fs::rename(&next, &path).expect("a place");
    assert_eq!(found(&list, old_hash).await, Some(false));
    assert_eq!(found(&list, new_hash).await, Some(true));
}

/// A list that another download writes in its place, that is damaged or gone, answers for no password.
#[tokio::test]
async fn cut_damaged_and_removed_lists_are_unavailable() {
    let (_folder, path) = folder();
    let (text, [hash, last]) = lines(3000);
    fs::write(&path, &text).expect("space");
    let list = BreachedFile::open(&path, TIMEOUT).expect("a list");
    for hash in [hash, last] {
        assert_eq!(found(&list, hash).await, Some(true));
    }
    let cut = text[..text.len() / 2].rfind(':').expect("a line") - 7;
    fs::write(&path, &text[..cut]).expect("space");
    for hash in [hash, last] {
        assert_eq!(found(&list, hash).await, None);
    }
    fs::write(&path, text.replace(':', ";")).expect("space");
    assert_eq!(found(&list, hash).await, None);
    fs::write(&path, "").expect("space");
    assert_eq!(found(&list, hash).await, None);
    fs::remove_file(&path).expect("it is ours");
    assert_eq!(found(&list, hash).await, None);
    fs::write(&path, &text).expect("space");
    assert_eq!(found(&list, hash).await, Some(true));
}

/// A search that waits too long for others is unavailable; so is one of a disk that stalls.
#[tokio::test(start_paused = true)]
async fn search_takes_a_bounded_time() {
    let (_folder, path) = folder();
    let (text, [hash, _]) = lines(10);
    fs::write(&path, &text).expect("space");
    let list = BreachedFile::open(&path, TIMEOUT).expect("a list");
    let permits = Arc::clone(&list.permits);
    let all = permits.acquire_many(CONCURRENT as u32).await.expect("all permits");
    let began = tokio::time::Instant::now();
    assert_eq!(found(&list, hash).await, None);
    assert_eq!(began.elapsed(), TIMEOUT);
    drop(all);
    assert_eq!(found(&list, hash).await, Some(true));
}
