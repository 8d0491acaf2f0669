//! The heap of `culvertd`: peers, sessions and great tables in huge pages.
//!
//! With many peers nearly every packet's flow, keypair and places in tables lie in pages that the TLB does not know, and what looks them
//! up are memory accesses, too. Kernels give huge pages to who asks (`transparent_hugepage/enabled` is `madvise` or `always`); glibc
//! asks only if told so by the environment. Where they are not to be had, all is as with any heap. Cells, in which keys lie, are left out of core dumps.

use rustix::mm::{Advice, madvise};
use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A cache line, bytes: what cells are aligned to, and of which their sizes are multiples.
const LINE: usize = 64;
/// Sizes of cells, in lines.
const CELLS: std::ops::RangeInclusive<usize> = 4..=32;
/// A huge page, bytes.
const HUGE: usize = 2 << 20;
/// The first piece that cells of one size are cut from, bytes; each piece is twice as long as the one before...
const FIRST_PIECE: usize = HUGE >> 5;
/// ...up to so many.
const LAST_PIECE: usize = HUGE << 4;
/// Bytes that are a table worth huge pages.
const TABLE: usize = 2 * HUGE;
/// What [`madvise`] wants addresses to be multiples of, at most.
const PAGE: usize = 1 << 16;

/// A global allocator. What is aligned to a cache line and some of them long (flows and keypairs) gets a cell, one behind the other, of
/// pieces that are huge pages from the sixth on; a freed cell waits for the next of its size. Tables of 4 MiB or more ask for huge pages.
/// All else is the system's.
///
/// Any thread. Cells are under a lock: control threads make and free them.
#[derive(Debug)]
pub struct HugePageHeap {
    /// By the number of lines.
    classes: [Mutex<Class>; *CELLS.end() + 1],
}

/// The cells of one size.
///
/// # Invariants
/// `free` leads, through the first word of each, to cells that nobody has; the `left` bytes from `next` on are memory that nobody has.
#[derive(Debug)]
struct Class {
    free: Option<NonNull<Free>>,
    next: *mut u8,
    left: usize,
    /// How many pieces it has had.
    pieces: u32,
}

/// What stands in a free cell.
#[derive(Debug)]
struct Free {
    next: Option<NonNull<Self>>,
}

// SAFETY: it owns the memory that it points to.
unsafe impl Send for Class {}

impl HugePageHeap {
    /// One without memory.
    #[expect(clippy::new_without_default, reason = "a static needs a const")]
    pub const fn new() -> Self {
        const NONE: Class = Class { free: None, next: ptr::null_mut(), left: 0, pieces: 0 };
        Self { classes: [const { Mutex::new(NONE) }; _] }
    }

    /// The class of a layout, locked, if it is one of cells.
    fn class(&self, layout: Layout) -> Option<MutexGuard<'_, Class>> {
        let class = self.classes.get(lines(layout)?)?;
        Some(class.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The lines of a layout that gets a cell.
#[inline]
fn lines(layout: Layout) -> Option<usize> {
    let lines = layout.size().div_ceil(LINE);
    (layout.align() == LINE && CELLS.contains(&lines)).then_some(lines)
}

impl Class {
    /// Memory for a cell of so many bytes; null if there is none.
    fn take(&mut self, size: usize) -> *mut u8 {
        if let Some(cell) = self.free {
            // SAFETY: a free cell holds this (invariant).
            self.free = unsafe { cell.read() }.next;
            return cell.as_ptr().cast();
        }
        if self.left < size {
            self.grow();
        }
        if self.left < size {
            return ptr::null_mut();
        }
        let cell = self.next;
        self.left -= size;
        // SAFETY: `left` bytes from there on are one piece of memory (invariant).
        self.next = unsafe { cell.add(size) };
        cell
    }

    /// Takes another piece from the system, for ever. What is left of the one before is less than a cell.
    fn grow(&mut self) {
        let len = FIRST_PIECE << self.pieces.min(LAST_PIECE.ilog2() - FIRST_PIECE.ilog2());
        let Ok(layout) = Layout::from_size_align(len, len.min(HUGE)) else { return };
        // SAFETY: it has a size.
        let piece = unsafe { System.alloc(layout) };
        if piece.is_null() {
            return;
        }
        if len >= HUGE {
            advise(piece, len, Advice::LinuxHugepage);
        }
        advise(piece, len, Advice::LinuxDontDump);
        (self.next, self.left, self.pieces) = (piece, len, self.pieces.saturating_add(1));
    }

    /// Takes a cell back.
    ///
    /// # Safety
    /// It came from [`Self::take`] of this class, and nobody has it any more.
    unsafe fn give(&mut self, cell: NonNull<u8>) {
        let cell = cell.cast::<Free>();
        // SAFETY: a cell is aligned to a line and longer than that (`CELLS`), and the caller has given it up.
        unsafe { cell.write(Free { next: self.free }) };
        self.free = Some(cell);
    }
}

/// Says how whole pages of this memory will be used, best before anybody has touched it. No matter if that fails: huge pages are about speed alone,
/// and who dumps no core at all needs no advice on what to leave out.
fn advise(memory: *mut u8, len: usize, advice: Advice) {
    let skipped = memory.align_offset(PAGE);
    let whole = len.saturating_sub(skipped) / PAGE * PAGE;
    // SAFETY: these pages are the caller's; the advice that is given here changes nothing that is in them.
    let _unanswered = unsafe { madvise(memory.wrapping_add(skipped).cast(), whole, advice) };
}

/// Passes on what the system has given, having asked for huge pages if it is a great table.
fn table(memory: *mut u8, len: usize) -> *mut u8 {
    if len >= TABLE && !memory.is_null() {
        advise(memory, len, Advice::LinuxHugepage);
    }
    memory
}

// SAFETY: a layout alone decides whether memory is a cell, so each block goes back to where it came from: to the cells, whose blocks are
// as long and as aligned as asked for and belong to one owner at a time, or to the system's allocator.
unsafe impl GlobalAlloc for HugePageHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.class(layout) {
            Some(mut class) => class.take(layout.size().next_multiple_of(LINE)),
            // SAFETY: the caller's layout.
            None => table(unsafe { System.alloc(layout) }, layout.size()),
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if lines(layout).is_none() && layout.align() < LINE {
            // SAFETY: the caller's layout.
            return table(unsafe { System.alloc_zeroed(layout) }, layout.size());
        }
        // What is aligned that much the system's would touch to make it zero, before it can be advised.
        // SAFETY: the caller's layout.
        let memory = unsafe { self.alloc(layout) };
        if !memory.is_null() {
            // SAFETY: as long as asked for.
            unsafe { memory.write_bytes(0, layout.size()) };
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        match (self.class(layout), NonNull::new(memory)) {
            // SAFETY: the caller's promise: it came from `alloc` with this layout.
            (Some(mut class), Some(cell)) => unsafe { class.give(cell) },
            // SAFETY: as above; with this layout it was the system's.
            _ => unsafe { System.dealloc(memory, layout) },
        }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        let Ok(new) = Layout::from_size_align(len, layout.align()) else { return ptr::null_mut() };
        if lines(layout).is_none() && lines(new).is_none() {
            // SAFETY: the caller's promise; it was the system's and stays so.
            return table(unsafe { System.realloc(memory, layout, len) }, len);
        }
        // SAFETY: a valid layout, and not of no size, as the caller promises.
        let moved = unsafe { self.alloc(new) };
        if !moved.is_null() {
            // SAFETY: both are so long, and distinct.
            unsafe { moved.copy_from_nonoverlapping(memory, len.min(layout.size())) };
            // SAFETY: the caller gives it up if this succeeds.
            unsafe { self.dealloc(memory, layout) };
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, LINE).unwrap()
    }

    /// What the kernel was told of the mapping of an address (proc_pid_smaps(5), `VmFlags`); `None`: it does not say.
    fn flags(address: usize) -> Option<String> {
        let smaps = std::fs::read_to_string("/proc/self/smaps").ok()?;
        let mut here = false;
        for line in smaps.lines() {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            if let Some((from, to)) = range
                && let (Ok(from), Ok(to)) = (usize::from_str_radix(from, 16), usize::from_str_radix(to, 16))
            {
                here = (from..to).contains(&address);
            }
            if here && let Some(flags) = line.strip_prefix("VmFlags:") {
                return Some(format!("{flags} "));
            }
        }
        None
    }

    /// As generated, against a map of what is held: no two overlap, what was written stays, zeroed is zero.
    #[test]
    fn blocks_are_whole_and_ones_own() {
        let heap = HugePageHeap::new();
        let mut rng = fastrand::Rng::with_seed(1);
        let mut held: BTreeMap<usize, (*mut u8, usize, u8)> = BTreeMap::new();
        for n in 0..20_000_u32 {
            let mark = n.to_le_bytes()[0];
            if held.len() > 500 || (rng.u8(..) < 100 && !held.is_empty()) {
                let at = *held.keys().nth(rng.usize(..held.len())).unwrap();
                let (memory, size, old) = held.remove(&at).unwrap();
                // SAFETY: it came from the heap below with this layout, so long.
                assert!(unsafe { std::slice::from_raw_parts(memory, size) }.iter().all(|byte| *byte == old));
                let grown = 1 + rng.usize(..3000);
                // SAFETY: as above, and it is given up.
                let memory = unsafe { heap.realloc(memory, layout(size), grown) };
                // SAFETY: the block that has just come.
                assert!(unsafe { std::slice::from_raw_parts(memory, size.min(grown)) }.iter().all(|byte| *byte == old));
                // SAFETY: as above.
                unsafe { heap.dealloc(memory, layout(grown)) };
                continue;
            }
            let size = 1 + rng.usize(..3000);
            // SAFETY: it has a size.
            let memory = unsafe { heap.alloc_zeroed(layout(size)) };
            assert!(!memory.is_null() && memory.addr().is_multiple_of(LINE));
            // SAFETY: it is so long, and ours.
            let bytes = unsafe { std::slice::from_raw_parts_mut(memory, size) };
            assert!(bytes.iter().all(|byte| *byte == 0));
            bytes.fill(mark);
            held.insert(memory.addr(), (memory, size, mark));
        }
        let ends: Vec<_> = held.values().map(|(memory, size, _)| (memory.addr(), memory.addr() + size)).collect();
        assert!(ends.windows(2).all(|pair| pair[0].1 <= pair[1].0), "they overlap");
        for (memory, size, mark) in held.into_values() {
            // SAFETY: as above.
            assert!(unsafe { std::slice::from_raw_parts(memory, size) }.iter().all(|byte| *byte == mark));
            // SAFETY: as above.
            unsafe { heap.dealloc(memory, layout(size)) };
        }
    }

    #[test]
    fn pieces_stay_as_long_as_the_longest_however_many() {
        for (pieces, len) in [(0, FIRST_PIECE), (1, 2 * FIRST_PIECE), (8, LAST_PIECE / 2), (9, LAST_PIECE)]
            .into_iter()
            .chain([10, 31, 47, 48, 63, 64, u32::MAX].map(|pieces| (pieces, LAST_PIECE)))
        {
            let mut class = Class { free: None, next: ptr::null_mut(), left: 0, pieces };
            assert!(!class.take(1280).is_null());
            assert_eq!(class.left, len - 1280, "{pieces}");
        }
    }

    #[test]
    fn cells_are_in_no_core_dump() {
        let heap = HugePageHeap::new();
        for _ in 0..3 * FIRST_PIECE / 1280 {
            // SAFETY: it has a size.
            let cell = unsafe { heap.alloc(layout(1280)) };
            let flags = flags(cell.addr()).unwrap();
            assert!(flags.contains(" dd "), "{flags}");
        }
    }

    #[test]
    fn what_is_great_and_many_cells_ask_for_huge_pages() {
        if !std::path::Path::new("/sys/kernel/mm/transparent_hugepage/enabled").exists() {
            eprintln!("SKIPPED: the kernel has no transparent huge pages");
            return;
        }
        let heap = HugePageHeap::new();
        let is_huge = |memory: *mut u8| flags(memory.addr()).is_some_and(|flags| flags.contains(" hg "));
        let cell = layout(1280);
        // SAFETY: it has a size.
        let cells: Vec<*mut u8> = (0..10_000).map(|_| unsafe { heap.alloc(cell) }).collect();
        assert!(!is_huge(cells[0]) && is_huge(cells[cells.len() - 1]));
        assert!(
            cells.windows(2).filter(|pair| pair[1].addr().wrapping_sub(pair[0].addr()) == cell.size()).count() > 9_900
        );
        // Freed and taken again: no more memory.
        let first: std::collections::BTreeSet<usize> = cells.iter().map(|cell| cell.addr()).collect();
        for memory in cells {
            // SAFETY: from the heap, by this layout.
            unsafe { heap.dealloc(memory, cell) };
        }
        // SAFETY: it has a size.
        assert!((0..10_000).all(|_| first.contains(&unsafe { heap.alloc(cell) }.addr())));
        let table = layout(TABLE);
        // SAFETY: it has a size.
        let memory = unsafe { heap.alloc_zeroed(table) };
        assert!(is_huge(memory.wrapping_add(TABLE / 2)));
        // SAFETY: from the heap, by this layout.
        unsafe { heap.dealloc(memory, table) };
    }
}
