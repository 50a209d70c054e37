//! The bytes of a backup.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Summary;
use crate::model::time::Timestamp;
use crate::store::codec::rare::Meta;

/// What a file begins with.
const MAGIC: &[u8; 16] = b"certhook backup\n";

/// The version of what comes after it. It goes up when a program that does not know it could not read it.
const VERSION: u32 = 1;

/// No frame is longer, so that damage to a length cannot ask for all memory. What is written stays far below.
const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The length of a frame's content and its checksum.
const FRAME_HEAD_BYTES: usize = 4 + 8;

const HEADER: u8 = 1;
const ROWS: u8 = 2;
const END: u8 = 3;

/// In the place of a value's length: the row is deleted.
const DELETED: u32 = u32::MAX;

/// A row's key and value; `None`: there is no such row, whatever came before.
pub(crate) type Row = (Vec<u8>, Option<Vec<u8>>);

/// What a backup is, before its rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Header {
    version: u32,
    /// When it was begun.
    pub(crate) taken_at: Timestamp,
    /// What the store is.
    pub(crate) store: Meta,
}

#[derive(Serialize, Deserialize)]
struct End {
    rows: u64,
}

/// Why a file is not restored.
#[derive(Debug, thiserror::Error)]
pub enum BadBackup {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    File(#[from] io::Error),
    /// It is something else.
    #[error("it is no backup of certhook")]
    Foreign,
    /// A newer program wrote it.
    #[error("it is of a newer version of certhook; restore it with that one")]
    Newer,
    /// Its end is missing.
    #[error("it is cut off after {0} bytes; take another one")]
    Cut(u64),
    /// It is not what was written.
    #[error("it is damaged after {0} bytes; take another one")]
    Damaged(u64),
}

/// Makes the bytes of a backup.
#[derive(Debug, Default)]
pub(crate) struct FrameWriter {
    frames: u64,
    rows: u64,
}

impl FrameWriter {
    /// The beginning of the file.
    pub(crate) fn header(&mut self, store: Meta, taken_at: Timestamp) -> Vec<u8> {
        let header = Header { version: VERSION, taken_at, store };
        [MAGIC.as_slice(), &self.frame(HEADER, &json(&header))].concat()
    }

    /// Rows, which take the place of those of the same keys.
    pub(crate) fn rows<K: AsRef<[u8]>, V: AsRef<[u8]>>(&mut self, rows: &[(K, Option<V>)]) -> Vec<u8> {
        let mut content = Vec::new();
        for (key, value) in rows {
            let (key, value) = (key.as_ref(), value.as_ref().map(AsRef::as_ref));
            content.extend_from_slice(&length(key).to_le_bytes());
            content.extend_from_slice(&value.map_or(DELETED, length).to_le_bytes());
            content.extend_from_slice(key);
            content.extend_from_slice(value.unwrap_or_default());
        }
        self.rows += rows.len() as u64;
        self.frame(ROWS, &content)
    }

    /// The end of the file.
    pub(crate) fn end(&mut self) -> Vec<u8> {
        let end = End { rows: self.rows };
        self.frame(END, &json(&end))
    }

    fn frame(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(FRAME_HEAD_BYTES + 1 + content.len());
        frame.extend_from_slice(&(length(content) + 1).to_le_bytes());
        frame.extend_from_slice(&[0; 8]);
        frame.push(kind);
        frame.extend_from_slice(content);
        let checksum = xxh3_64_with_seed(&frame[FRAME_HEAD_BYTES..], self.frames);
        frame[4..FRAME_HEAD_BYTES].copy_from_slice(&checksum.to_le_bytes());
        self.frames += 1;
        frame
    }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("a row is far smaller, and a frame holds a limited number of them")
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data is JSON")
}

/// Reads the bytes of a backup.
pub(crate) struct Frames {
    file: BufReader<File>,
    header: Header,
    frames: u64,
    rows: u64,
    bytes: u64,
    is_over: bool,
}

impl Frames {
    /// Reads what the backup is.
    pub(crate) fn open(path: &Path) -> Result<Self, BadBackup> {
        let mut file = BufReader::new(File::open(path)?);
        let mut magic = [0; MAGIC.len()];
        match file.read_exact(&mut magic) {
            Ok(()) if magic == *MAGIC => {}
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error.into()),
            Ok(()) | Err(_) => return Err(BadBackup::Foreign),
        }
        let (mut frames, mut bytes) = (0, MAGIC.len() as u64);
        let content = frame(&mut file, &mut frames, &mut bytes)?;
        let damaged = BadBackup::Damaged(MAGIC.len() as u64);
        let Some((&HEADER, header)) = content.split_first() else { return Err(damaged) };
        let header: Value = serde_json::from_slice(header).map_err(|_| BadBackup::Damaged(bytes))?;
        if header.get("version").and_then(Value::as_u64) > Some(VERSION.into()) {
            return Err(BadBackup::Newer);
        }
        let header = serde_json::from_value(header).map_err(|_| damaged)?;
        Ok(Self { file, header, frames, rows: 0, bytes, is_over: false })
    }

    /// What the backup is.
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// The next rows; `None` at the end of a whole file.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<Row>>, BadBackup> {
        if self.is_over {
            return Ok(None);
        }
        let begin = self.bytes;
        let content = frame(&mut self.file, &mut self.frames, &mut self.bytes)?;
        match content.split_first() {
            Some((&ROWS, content)) => {
                let rows = read_rows(content).ok_or(BadBackup::Damaged(begin))?;
                self.rows += rows.len() as u64;
                Ok(Some(rows))
            }
            Some((&END, content)) => {
                let is_whole = serde_json::from_slice(content).is_ok_and(|End { rows }| rows == self.rows);
                if !is_whole || self.file.read(&mut [0])? != 0 {
                    return Err(BadBackup::Damaged(begin));
                }
                self.is_over = true;
                Ok(None)
            }
            Some(_) | None => Err(BadBackup::Damaged(begin)),
        }
    }

    /// What was read so far.
    pub(crate) fn summary(&self) -> Summary {
        let Header { taken_at, ref store, .. } = self.header;
        Summary { taken_at, epoch: store.epoch, rows: self.rows, bytes: self.bytes }
    }
}

/// The content of the next frame.
fn frame(file: &mut impl Read, frames: &mut u64, bytes: &mut u64) -> Result<Vec<u8>, BadBackup> {
    let begin = *bytes;
    let mut head = [0; FRAME_HEAD_BYTES];
    read(file, &mut head, begin)?;
    let [a, b, c, d, checksum @ ..] = head;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(BadBackup::Damaged(begin));
    }
    let mut content = vec![0; length];
    read(file, &mut content, begin)?;
    if xxh3_64_with_seed(&content, *frames) != u64::from_le_bytes(checksum) {
        return Err(BadBackup::Damaged(begin));
    }
    *frames += 1;
    *bytes += (FRAME_HEAD_BYTES + length) as u64;
    Ok(content)
}

fn read(file: &mut impl Read, bytes: &mut [u8], begin: u64) -> Result<(), BadBackup> {
    let is_end = |error: &io::Error| error.kind() == io::ErrorKind::UnexpectedEof;
    file.read_exact(bytes).map_err(|error| if is_end(&error) { BadBackup::Cut(begin) } else { BadBackup::File(error) })
}

fn read_rows(mut content: &[u8]) -> Option<Vec<Row>> {
    let mut rows = Vec::new();
    while !content.is_empty() {
        let (key_length, rest) = content.split_first_chunk()?;
        let (value_length, rest) = rest.split_first_chunk()?;
        let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*key_length) as usize)?;
        let (value, rest) = match u32::from_le_bytes(*value_length) {
            DELETED => (None, rest),
            length => rest.split_at_checked(length as usize).map(|(value, rest)| (Some(value), rest))?,
        };
        rows.push((key.to_vec(), value.map(<[u8]>::to_vec)));
        content = rest;
    }
    Some(rows)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn meta() -> Meta {
        Meta { format: 3, epoch: 7, created_at: Timestamp::from_millis(7_000), key_check: "sealed".into() }
    }

    /// The frames of a backup of these rows, so many at a time; the magic goes with the first.
    fn written(rows: &[Row], at_once: usize) -> Vec<Vec<u8>> {
        let mut writer = FrameWriter::default();
        let mut frames = vec![writer.header(meta(), Timestamp::from_millis(9_000))];
        frames.extend(rows.chunks(at_once).map(|rows| writer.rows(rows)));
        frames.push(writer.end());
        frames
    }

    fn read_back(bytes: &[u8]) -> Result<(Vec<Row>, Summary), BadBackup> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("it is written");
        let mut frames = Frames::open(file.path())?;
        let mut rows = Vec::new();
        while let Some(more) = frames.next()? {
            rows.extend(more);
        }
        Ok((rows, frames.summary()))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        #[test]
        fn what_was_written_comes_back(rows: Vec<Row>, at_once in 1..5_usize) {
            let bytes = written(&rows, at_once).concat();
            let (read, summary) = read_back(&bytes).expect("it is whole");
            prop_assert_eq!(&read, &rows);
            let taken_at = Timestamp::from_millis(9_000);
            let expected = Summary { taken_at, epoch: 7, rows: rows.len() as u64, bytes: bytes.len() as u64 };
            prop_assert_eq!(summary, expected);
        }
    }

    fn samples() -> Vec<Row> {
        (0..6_u8).map(|number| (vec![b'e', number], (number != 3).then(|| vec![number; 9]))).collect()
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_refused() {
        let bytes = written(&samples(), 2).concat();
        assert_eq!(read_back(&bytes).expect("it is whole").0, samples());
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert!(read_back(&changed).is_err(), "byte {at}, bit {bit}");
            }
            let cut = read_back(&bytes[..at]).expect_err("it is cut");
            assert!(at < MAGIC.len() || matches!(cut, BadBackup::Cut(_)), "cut at {at}: {cut}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(matches!(read_back(&longer), Err(BadBackup::Damaged(_))));
    }

    #[test]
    fn frames_that_are_missing_repeated_or_in_another_order_are_refused() {
        let frames = written(&samples(), 2);
        let damaged = |frames: &[Vec<u8>]| matches!(read_back(&frames.concat()), Err(BadBackup::Damaged(_)));
        for at in 1..frames.len() - 1 {
            let mut others = frames.clone();
            others.remove(at);
            assert!(damaged(&others), "without frame {at}");
            let mut others = frames.clone();
            others.insert(at, frames[at].clone());
            assert!(damaged(&others), "frame {at} twice");
            let mut others = frames.clone();
            others.swap(at, at % (frames.len() - 2) + 1);
            assert!(damaged(&others), "frame {at} elsewhere");
        }
    }

    #[test]
    fn what_is_no_backup_or_a_newer_one_is_told_apart() {
        for bytes in [b"".as_slice(), b"certhook", b"SQLite format 3\0and so on"] {
            assert!(matches!(read_back(bytes), Err(BadBackup::Foreign)), "{bytes:?}");
        }
        let mut writer = FrameWriter::default();
        let newer = writer.frame(HEADER, br#"{"version":2,"what":"nobody knows"}"#);
        assert!(matches!(read_back(&[MAGIC.as_slice(), &newer].concat()), Err(BadBackup::Newer)));
    }
}
