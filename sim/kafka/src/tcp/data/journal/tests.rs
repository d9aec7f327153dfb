//! A journal after torn writes, damage, and in the wrong place.

use super::*;

/// A directory that ends with its test.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("bellwether-journal-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn frames(contents: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for content in contents {
        put_frame(&mut out, 7, |out| out.extend(*content));
    }
    out
}

fn contents(directory: &Directory) -> Result<(Journal, Vec<Vec<u8>>), DataError> {
    let mut read = Vec::new();
    let journal = Journal::open(&directory.0, |frame| {
        assert_eq!(frame.kind, 7);
        read.push(frame.content);
        Ok(())
    })?;
    Ok((journal, read))
}

fn written(directory: &Directory, contents_written: &[&[u8]]) -> Vec<u8> {
    let (mut journal, _) = contents(directory).expect("a new journal");
    journal.append(&frames(contents_written)).expect("the disk has space");
    fs::read(directory.0.join(FILE)).expect("it is there")
}

#[test]
fn what_was_appended_is_there_after_a_restart() {
    let directory = Directory::new("restart");
    written(&directory, &[b"one", b"two"]);
    let (mut journal, read) = contents(&directory).expect("a journal");
    assert_eq!(read, [b"one", b"two"]);
    journal.append(&frames(&[b"three"])).expect("the disk has space");
    drop(journal);
    assert_eq!(contents(&directory).expect("a journal").1.len(), 3);
}

#[test]
fn a_torn_write_is_cut_off_wherever_it_was_torn() {
    let directory = Directory::new("torn");
    let whole = written(&directory, &[b"one", b"two"]);
    let second = whole.len() - HEADER - 1 - b"two".len();
    for length in second + 1..whole.len() {
        fs::write(directory.0.join(FILE), &whole[..length]).expect("written");
        let (mut journal, read) = contents(&directory).expect("a journal");
        assert_eq!(read, [b"one"], "torn at {length}");
        journal.append(&frames(&[b"again"])).expect("the disk has space");
        drop(journal);
        assert_eq!(contents(&directory).expect("a journal").1, [b"one".to_vec(), b"again".to_vec()]);
    }
}

#[test]
fn a_last_frame_with_wrong_bytes_or_zeroes_is_torn_too() {
    let directory = Directory::new("zeroes");
    let mut bytes = written(&directory, &[b"one", b"two"]);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(directory.0.join(FILE), &bytes).expect("written");
    assert_eq!(contents(&directory).expect("a journal").1, [b"one"]);
    bytes[last] ^= 1;
    bytes.extend([0; 5000]);
    fs::write(directory.0.join(FILE), &bytes).expect("written");
    assert_eq!(contents(&directory).expect("a journal").1, [b"one", b"two"]);
}

#[test]
fn damage_in_the_middle_is_told_and_nothing_is_dropped() {
    let directory = Directory::new("damage");
    let mut bytes = written(&directory, &[b"one", b"two"]);
    bytes[MAGIC.len() + HEADER + 1] ^= 1;
    fs::write(directory.0.join(FILE), &bytes).expect("written");
    let refused = contents(&directory).expect_err("damaged");
    assert!(refused.to_string().ends_with("is damaged at byte 24: a frame's checksum is wrong"), "{refused}");
    assert_eq!(fs::read(directory.0.join(FILE)).expect("there"), bytes);
}

#[test]
fn a_directory_of_somebody_else_is_left_alone() {
    let directory = Directory::new("foreign");
    fs::create_dir_all(&directory.0).expect("made");
    fs::write(directory.0.join("photo.jpg"), b"photo").expect("written");
    assert!(matches!(contents(&directory), Err(DataError::Foreign(_))));
    assert!(!directory.0.join(FILE).exists());
    fs::write(directory.0.join(FILE), b"a diary").expect("written");
    assert!(matches!(contents(&directory), Err(DataError::Format(_))));
    assert_eq!(fs::read(directory.0.join(FILE)).expect("there"), b"a diary");
}

#[test]
fn one_process_has_it() {
    let directory = Directory::new("lock");
    let (_journal, _) = contents(&directory).expect("a new journal");
    assert!(matches!(contents(&directory), Err(DataError::InUse(_))));
}

#[test]
fn a_rewritten_journal_has_the_new_frames_alone() {
    let directory = Directory::new("rewrite");
    written(&directory, &[b"one", b"two"]);
    let (journal, _) = contents(&directory).expect("a journal");
    let mut journal = journal.rewrite(&frames(&[b"both"])).expect("rewritten");
    journal.append(&frames(&[b"three"])).expect("the disk has space");
    assert!(matches!(contents(&directory), Err(DataError::InUse(_))), "the new file is held");
    drop(journal);
    assert_eq!(contents(&directory).expect("a journal").1, [b"both".to_vec(), b"three".to_vec()]);
}

#[test]
fn a_full_disk_is_called_that() {
    let full = DataError::of(Path::new("data"), io::Error::from(ErrorKind::StorageFull));
    assert_eq!(full.to_string(), "data has no space left");
}
