//! What a restart hands over: frames of any bytes, and streams of them. What is taken is the same when it is written and read again;
//! a stream with one byte changed is refused. The first byte is the length of the pieces that the stream is read in.

use culvert::control::handover::{Frame, FrameReader, FrameWriter, Head, check, parse};
use std::io::Read;

pub(crate) fn run(data: &[u8]) {
    // As a whole stream: nothing but its own bytes has that checksum.
    if check(&mut &*data).is_ok() {
        assert_eq!(rewritten(data), data);
    }
    let Some((piece, data)) = data.split_first() else { return };
    let mut frames = Vec::new();
    let mut rest = data;
    // As frames, each with its length before it.
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes(*length)).min(after.len());
        let (frame, after) = after.split_at(length);
        frames.extend(parse(frame).ok());
        rest = after;
    }
    frames.extend(parse(data).ok());
    let head = Head { boot: 1, taken_ms: 1_000_000, salt: [0; 32] };
    let mut writer = FrameWriter::new(Vec::new(), head).unwrap();
    for frame in &frames {
        // An end belongs to the end; what is too long is refused when it is written.
        if !matches!(frame, Frame::End(_)) && writer.write(frame).is_err() {
            return;
        }
    }
    let stream = writer.finish().unwrap();
    assert_eq!(rewritten(&stream), stream);
    let mut reader = FrameReader::new(Pieces(&stream, usize::from(*piece).max(1))).unwrap();
    let mut count = 0;
    while reader.next().unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 1 + frames.iter().filter(|frame| !matches!(frame, Frame::End(_))).count());

    let mut damaged = stream.clone();
    damaged[usize::from(*piece) * 31 % stream.len()] ^= piece | 1;
    assert!(check(&mut damaged.as_slice()).is_err());
    assert!(check(&mut &stream[..stream.len() - 1]).is_err());
}

/// The same stream, read and written again.
fn rewritten(stream: &[u8]) -> Vec<u8> {
    let mut reader = FrameReader::new(stream).unwrap();
    let Some(Frame::Head(head)) = reader.next().unwrap() else { panic!("no head") };
    let mut writer = FrameWriter::new(Vec::new(), head).unwrap();
    while let Some(frame) = reader.next().unwrap() {
        writer.write(&frame).unwrap();
    }
    writer.finish().unwrap()
}

/// Gives no more than so many bytes at once.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        let count = room.len().min(self.1);
        self.0.read(&mut room[..count])
    }
}
