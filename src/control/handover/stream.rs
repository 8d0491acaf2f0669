//! Frames one behind the other: `culvert-sessions`, the version, then each frame with its length before it, and a BLAKE2s of all that
//! in the end. Written and read through one small buffer, which is wiped.

use super::format::{Frame, Head, MOST_FRAME, VERSION, parse};
use blake2::{Blake2s256, Digest};
use std::io::{self, Read, Write};
use zeroize::Zeroizing;

/// What a stream begins with.
const MAGIC: [u8; 16] = *b"culvert-sessions";
const PREAMBLE: usize = MAGIC.len() + size_of::<u32>();
/// Bytes before a frame that say how long it is.
const LENGTH: usize = size_of::<u16>();
const CHECKSUM: usize = 32;
/// Bytes that are written or read at once.
const BUFFER: usize = 64 << 10;

const _: () = assert!(MOST_FRAME <= u16::MAX as usize && PREAMBLE + LENGTH + MOST_FRAME <= BUFFER);

/// Why a stream is refused. None of it is used then.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// It cannot be read.
    #[error("they cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("this is something else than sessions")]
    Magic,
    /// It was written by a culvert of another form.
    #[error("they are of form {0}, this culvert reads form {VERSION} alone")]
    Version(u32),
    /// It ends too early.
    #[error("they end too early")]
    Truncated,
    /// What stands behind the frames is not their checksum, or not the end.
    #[error("their checksum is wrong")]
    Checksum,
    /// A frame cannot be.
    #[error("there is a frame with {0}")]
    Frame(&'static str),
}

/// Writes frames. Call [`FrameWriter::finish`] in the end.
#[derive(Debug)]
pub struct FrameWriter<W: Write> {
    out: W,
    hash: Blake2s256,
    buffer: Zeroizing<Box<[u8]>>,
    /// How much of it is not written yet.
    end: usize,
    frames: u64,
}

impl<W: Write> FrameWriter<W> {
    /// Begins a stream.
    ///
    /// # Errors
    /// `head` cannot be written.
    pub fn new(out: W, head: Head) -> io::Result<Self> {
        let mut writer = Self { out, hash: Blake2s256::new(), buffer: buffer(), end: PREAMBLE, frames: 0 };
        let preamble = [&MAGIC[..], &VERSION.to_le_bytes()].concat();
        writer.place(0, PREAMBLE).copy_from_slice(&preamble);
        writer.write(&Frame::Head(head))?;
        Ok(writer)
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// It is too long, or what was gathered cannot be written.
    pub fn write(&mut self, frame: &Frame) -> io::Result<()> {
        if self.end + LENGTH + MOST_FRAME > BUFFER {
            self.flush()?;
        }
        let (length_at, at) = (self.end, self.end + LENGTH);
        let len = postcard::to_slice(frame, self.place(at, MOST_FRAME)).map_err(io::Error::other)?.len();
        let length = u16::try_from(len).map_err(io::Error::other)?;
        self.place(length_at, LENGTH).copy_from_slice(&length.to_le_bytes());
        self.end = at + len;
        self.frames += 1;
        Ok(())
    }

    fn place(&mut self, at: usize, len: usize) -> &mut [u8] {
        self.buffer.get_mut(at..at + len).unwrap_or_default()
    }

    /// Ends the stream: without it nobody takes it. Returns what it was written to.
    ///
    /// # Errors
    /// The rest cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.write(&Frame::End(self.frames))?;
        self.flush()?;
        let checksum: [u8; CHECKSUM] = self.hash.finalize_reset().into();
        self.out.write_all(&checksum)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn flush(&mut self) -> io::Result<()> {
        let bytes = self.buffer.get(..self.end).unwrap_or_default();
        self.hash.update(bytes);
        self.out.write_all(bytes)?;
        self.end = 0;
        Ok(())
    }
}

fn buffer() -> Zeroizing<Box<[u8]>> {
    Zeroizing::new(vec![0; BUFFER].into_boxed_slice())
}

/// Reads frames: until [`FrameReader::next`] has said `None`, nothing is known to be whole.
#[derive(Debug)]
pub struct FrameReader<R: Read> {
    input: R,
    hash: Blake2s256,
    buffer: Zeroizing<Box<[u8]>>,
    /// What of it was read and not used yet.
    at: usize,
    end: usize,
    frames: u64,
    is_over: bool,
}

impl<R: Read> FrameReader<R> {
    /// Begins to read.
    ///
    /// # Errors
    /// It is no stream, or one of another version.
    pub fn new(input: R) -> Result<Self, FormatError> {
        let hash = Blake2s256::new();
        let mut reader = Self { input, hash, buffer: buffer(), at: 0, end: 0, frames: 0, is_over: false };
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(FormatError::Magic);
        }
        let version = reader.take(size_of::<u32>())?;
        match u32::from_le_bytes(version.try_into().unwrap_or_default()) {
            VERSION => Ok(reader),
            other => Err(FormatError::Version(other)),
        }
    }

    /// The next frame; `None` at the end, when all came before it as they were written.
    ///
    /// # Errors
    /// [`FormatError`]; there is nothing more to read then.
    #[expect(clippy::should_implement_trait, reason = "an iterator would go on after an error")]
    pub fn next(&mut self) -> Result<Option<Frame>, FormatError> {
        if self.is_over {
            return Ok(None);
        }
        let length = u16::from_le_bytes(self.take(LENGTH)?.try_into().unwrap_or_default());
        if usize::from(length) > MOST_FRAME {
            return Err(FormatError::Frame("too many bytes"));
        }
        let frame = parse(self.take(usize::from(length))?)?;
        match frame {
            Frame::End(frames) if frames != self.frames => Err(FormatError::Frame("a wrong number of others")),
            Frame::End(_) => self.end().map(|()| None),
            frame => {
                self.frames += 1;
                Ok(Some(frame))
            }
        }
    }

    /// The checksum, and nothing behind it.
    fn end(&mut self) -> Result<(), FormatError> {
        let expected: [u8; CHECKSUM] = self.hash.clone().finalize().into();
        if self.take(CHECKSUM)? != expected {
            return Err(FormatError::Checksum);
        }
        self.is_over = true;
        match (self.at == self.end, self.input.read(&mut [0])?) {
            (true, 0) => Ok(()),
            _ => Err(FormatError::Checksum),
        }
    }

    /// The next `count` bytes, at most as many as a frame has.
    fn take(&mut self, count: usize) -> Result<&[u8], FormatError> {
        if self.end - self.at < count {
            self.buffer.copy_within(self.at..self.end, 0);
            (self.at, self.end) = (0, self.end - self.at);
            while self.end < count {
                let room = self.buffer.get_mut(self.end..).unwrap_or_default();
                match self.input.read(room) {
                    Ok(0) => return Err(FormatError::Truncated),
                    Ok(read) => self.end += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let bytes = self.buffer.get(self.at..self.at + count).ok_or(FormatError::Truncated)?;
        self.at += count;
        self.hash.update(bytes);
        Ok(bytes)
    }
}
