//! Frames from a capture file: the shapes that a NIC could hand over, without one.

use super::*;
use std::path::Path;

/// A classic pcap file, Ethernet, of these frames.
fn write_capture(path: &Path, frames: &[Vec<u8>]) {
    let word = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
    let mut file = Vec::new();
    file.extend(0xa1b2_c3d4_u32.to_le_bytes());
    file.extend([2, 0, 4, 0]);
    file.extend([0; 8]);
    file.extend(word(65_535));
    file.extend(word(1));
    for frame in frames {
        file.extend([0; 8]);
        file.extend(word(frame.len()));
        file.extend(word(frame.len()));
        file.extend(frame);
    }
    std::fs::write(path, file).unwrap();
}

#[test]
fn frames_of_all_sizes_arrive_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.pcap");
    // 2,048 bytes fit into an mbuf; 4,000 come as two segments, 9,000 as five.
    let sizes = [(1, 1), (13, 1), (60, 1), (2048, 1), (2049, 2), (4000, 2), (9000, 5)];
    let frames: Vec<Vec<u8>> =
        sizes.iter().map(|&(size, _)| (0..size).map(|n| u8::try_from(n % 251).unwrap()).collect()).collect();
    write_capture(&path, &frames);

    let eal = eal();
    let pool = pool(&eal, "p", 63);
    let large = PoolOptions { data_room: 9000 + 128, ..PoolOptions::new("large", 1) };
    let large = Pool::create(&eal, &large).unwrap();
    let text = format!("net_pcap,rx_pcap={}", path.display());
    let (port, mut rx, _tx) = start(&eal, "pcap", &device(&text), &pool);
    let mut burst = Burst::new();
    assert_eq!(rx.rx_burst(&mut burst), frames.len());
    for ((mbuf, frame), (_, segments)) in burst.iter().zip(&frames).zip(sizes) {
        assert_eq!((mbuf.total_len(), mbuf.segment_count()), (frame.len(), segments));
        assert_eq!((mbuf.is_plain(), mbuf.meta().port), (segments == 1, port.id().0));
        assert_eq!(mbuf.segments().collect::<Vec<_>>().concat(), *frame);
        let copy = mbuf.copy_into(&large).unwrap();
        assert!(copy.is_plain());
        assert_eq!((copy.data(), copy.headroom()), (&frame[..], HEADROOM));
    }
    drop(burst);
    assert_eq!((pool.available(), large.available()), (63, 1));
}
