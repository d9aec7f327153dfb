//! An append-only file of frames, for what must survive a restart.
//!
//! A file is [`MAGIC`] and then frames: the size of what follows (4 bytes, big endian), its CRC-32C, a kind of one byte,
//! and content. A frame that was being written when the process or the machine died is cut off at the end, and the
//! next start cuts the file there. A frame that is wrong in the middle is damage: it is told, and nothing is dropped.
//! One process at a time has the file. Nothing is flushed to the disk per frame, as Kafka does not: a process may
//! die at any time, a machine may lose what it was told last.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The first bytes of the file: what it is, and of which format.
const MAGIC: &[u8; 24] = b"bellwether kafka data 2\n";
const FILE: &str = "journal";
const NEXT_FILE: &str = "journal.next";
/// Size and CRC.
const HEADER: usize = 8;
/// A frame holds a batch at most, or a topic with its partitions.
const MAX_FRAME: u64 = 256 << 20;

/// Why there is no journal, or no more of it.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("{} is not a data directory of bellwether kafka: it has other files and no {FILE}", .0.display())]
    Foreign(PathBuf),
    #[error("{} is not a journal of this format", .0.display())]
    Format(PathBuf),
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    #[error("{} is damaged at byte {at}: {what}", path.display())]
    Damaged { path: PathBuf, at: u64, what: &'static str },
    #[error("{} is of {brokers} brokers, not of {wanted}", path.display())]
    Brokers { path: PathBuf, brokers: usize, wanted: usize },
    #[error("{} has no space left", .0.display())]
    Full(PathBuf),
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
}

/// A frame as it is read.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub content: Vec<u8>,
}

/// An open journal, to be appended to.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes of whole frames: a write that failed half way is cut off here.
    length: u64,
}

impl Journal {
    /// Opens the journal of a directory, or begins one where the directory is empty or not there. Gives each frame to
    /// `take`; what it refuses is damage.
    pub fn open(
        directory: &Path,
        mut take: impl FnMut(Frame) -> Result<(), &'static str>,
    ) -> Result<Journal, DataError> {
        let path = directory.join(FILE);
        let at = |error: io::Error| DataError::of(&path, error);
        fs::create_dir_all(directory).map_err(|error| DataError::of(directory, error))?;
        if !path.try_exists().map_err(at)? && !is_empty(directory).map_err(at)? {
            return Err(DataError::Foreign(directory.to_owned()));
        }
        let mut file = open_locked(&path)?;
        // Empty also where the process died right after it made the file.
        if file.metadata().map_err(at)?.len() == 0 {
            file.write_all(MAGIC).map_err(at)?;
            file.sync_all().map_err(at)?;
        }
        let length = replay(&path, &mut file, &mut take)?;
        file.set_len(length).map_err(at)?;
        file.seek(SeekFrom::Start(length)).map_err(at)?;
        Ok(Journal { path, file, length })
    }

    /// Appends frames, all of them or none.
    pub fn append(&mut self, frames: &[u8]) -> Result<(), DataError> {
        let written = self.file.write_all(frames);
        if let Err(error) = written {
            // What is there of it is cut off now, or at the next start.
            let _ = self.file.set_len(self.length);
            let _ = self.file.seek(SeekFrom::Start(self.length));
            return Err(DataError::of(&self.path, error));
        }
        self.length += frames.len() as u64;
        Ok(())
    }

    /// Replaces all frames by these, at once: after a crash there are the old ones or the new ones.
    pub fn rewrite(self, frames: &[u8]) -> Result<Journal, DataError> {
        let next = self.path.with_file_name(NEXT_FILE);
        let at = |error: io::Error| DataError::of(&next, error);
        let mut file = open_locked(&next)?;
        file.set_len(0).map_err(at)?;
        file.write_all(MAGIC).and_then(|()| file.write_all(frames)).map_err(at)?;
        file.sync_all().map_err(at)?;
        fs::rename(&next, &self.path).map_err(at)?;
        let length = (MAGIC.len() + frames.len()) as u64;
        Ok(Journal { path: self.path, file, length })
    }
}

impl DataError {
    fn of(path: &Path, error: io::Error) -> DataError {
        let path = path.to_owned();
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => DataError::Full(path),
            _ => DataError::Io { path, error },
        }
    }
}

/// Adds a frame to what is to be appended.
pub fn put_frame(out: &mut Vec<u8>, kind: u8, content: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; HEADER]);
    out.push(kind);
    content(out);
    let body = &out[start + HEADER..];
    let size = u32::try_from(body.len()).expect("a frame is far below 4 GiB");
    let crc = crc32c::crc32c(body);
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
    out[start + 4..start + HEADER].copy_from_slice(&crc.to_be_bytes());
}

fn is_empty(directory: &Path) -> io::Result<bool> {
    let others = |entry: &io::Result<fs::DirEntry>| match entry {
        Ok(entry) => entry.file_name() != NEXT_FILE,
        Err(_) => true,
    };
    fs::read_dir(directory)?.find(others).transpose().map(|other| other.is_none())
}

fn open_locked(path: &Path) -> Result<File, DataError> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let file = file.map_err(|error| DataError::of(path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DataError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(DataError::of(path, error)),
    }
}

/// Gives every whole frame to `take`, and says where they end.
fn replay(
    path: &Path,
    file: &mut File,
    take: &mut impl FnMut(Frame) -> Result<(), &'static str>,
) -> Result<u64, DataError> {
    let at = |error: io::Error| DataError::of(path, error);
    let end = file.seek(SeekFrom::End(0)).map_err(at)?;
    file.rewind().map_err(at)?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut magic = [0; MAGIC.len()];
    match reader.read_exact(&mut magic) {
        Ok(()) if magic == *MAGIC => {}
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => return Err(at(error)),
        _ => return Err(DataError::Format(path.to_owned())),
    }
    let mut position = MAGIC.len() as u64;
    while end - position >= HEADER as u64 {
        let mut header = [0; HEADER];
        reader.read_exact(&mut header).map_err(at)?;
        let [size, crc] = [0, 4].map(|at| u32::from_be_bytes([0, 1, 2, 3].map(|byte| header[at + byte])));
        let next = position + HEADER as u64 + u64::from(size);
        let damaged = |what| DataError::Damaged { path: path.to_owned(), at: position, what };
        // A file that grew before its bytes came ends in zeroes.
        if next > end || size == 0 {
            return if size == 0 && !ends_in_zeroes(&mut reader).map_err(at)? {
                Err(damaged("a frame of no size"))
            } else {
                Ok(position)
            };
        }
        if u64::from(size) > MAX_FRAME {
            return Err(damaged("a frame of an impossible size"));
        }
        let mut body = vec![0; usize::try_from(size).expect("it is below the bound")];
        reader.read_exact(&mut body).map_err(at)?;
        if crc32c::crc32c(&body) != crc {
            return if next == end { Ok(position) } else { Err(damaged("a frame's checksum is wrong")) };
        }
        let kind = body.remove(0);
        take(Frame { kind, content: body }).map_err(damaged)?;
        position = next;
    }
    Ok(position)
}

fn ends_in_zeroes(reader: &mut impl Read) -> io::Result<bool> {
    let mut rest = Vec::new();
    reader.take(MAX_FRAME).read_to_end(&mut rest)?;
    Ok(rest.iter().all(|byte| *byte == 0))
}

#[cfg(test)]
mod tests;
