//! ChaCha20 (RFC 8439, section 2.3) with one block a lane: 16 lanes a group, each with a key, nonce and counter of its own,
//! and two groups at once, because one alone waits for its own results.
//!
//! Vector `n` of a group is word `n` of 16 states. The first of the 20 rounds works on columns, and only the first column
//! knows the counter: the other three are the same for all blocks of a packet, so [`Group::set`] does them once.

use super::vector::{Block, V, Words, load_halves, load_words, store, store_words, xor};
use core::arch::asm;
use core::arch::x86_64::{
    _mm512_add_epi32, _mm512_rol_epi32, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_shuffle_i64x2,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64, _mm512_xor_si512,
};

/// Blocks a group.
pub(super) const LANES: usize = 16;

/// "expand 32-byte k".
pub(super) const SIGMA: [i32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// Keys and nonces of 16 lanes.
#[derive(zeroize::Zeroize)]
pub(super) struct Group {
    /// The words 4 to 15 of the states; the counter's, word 12, is not used.
    start: [Words; 12],
    /// All words after the columns 1, 2 and 3 of the first round; word 0 has its first addition. Word 12 is not used.
    begun: [Words; 16],
}

impl Group {
    pub(super) const EMPTY: Self = Self { start: [Words([0; 16]); 12], begun: [Words([0; 16]); 16] };

    /// `nonces` are the words 13, 14 and 15 of the lanes.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    pub(super) fn set(&mut self, keys: &[&[u8; 32]; LANES], nonces: &[Words; 3]) {
        let key = transpose_keys(keys);
        let nonce = [load_words(&nonces[0]), load_words(&nonces[1]), load_words(&nonces[2])];
        for (word, v) in self.start.iter_mut().zip(key) {
            store_words(word, v);
        }
        let sigma = SIGMA.map(|word| _mm512_set1_epi32(word));
        for column in 1..4 {
            let d = nonce[column - 1];
            store_words(&mut self.start[8 + column], d);
            let done = quarter_round(sigma[column], key[column], key[4 + column], d);
            for (row, v) in done.into_iter().enumerate() {
                store_words(&mut self.begun[4 * row + column], v);
            }
        }
        store_words(&mut self.begun[0], _mm512_add_epi32(sigma[0], key[0]));
        store_words(&mut self.begun[4], key[0]);
        store_words(&mut self.begun[8], key[4]);
    }

    /// Its vectors as [`rounds`] takes them.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
    fn begin(&self, counters: V) -> [V; 16] {
        let mut v = [counters; 16];
        for (n, v) in v.iter_mut().enumerate() {
            if n != 12 {
                *v = load_words(&self.begun[n]);
            }
        }
        v
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn quarter_round(mut a: V, mut b: V, mut c: V, mut d: V) -> [V; 4] {
    a = _mm512_add_epi32(a, b);
    d = _mm512_rol_epi32::<16>(_mm512_xor_si512(d, a));
    c = _mm512_add_epi32(c, d);
    b = _mm512_rol_epi32::<12>(_mm512_xor_si512(b, c));
    a = _mm512_add_epi32(a, b);
    d = _mm512_rol_epi32::<8>(_mm512_xor_si512(d, a));
    c = _mm512_add_epi32(c, d);
    b = _mm512_rol_epi32::<7>(_mm512_xor_si512(b, c));
    [a, b, c, d]
}

/// From 16 keys to 8 vectors, one for each word.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose_keys(keys: &[&[u8; 32]; LANES]) -> [V; 8] {
    let mut rows = [_mm512_setzero_si512(); 8];
    for (n, row) in rows.iter_mut().enumerate() {
        *row = load_halves(keys[n], keys[n + 8]);
    }
    // A quarter of `low[w]`: word w of lanes 0–3, word 4 + w of the same, then of lanes 8–11. `high`: lanes 4–7, 12–15.
    let low = transpose_4([rows[0], rows[1], rows[2], rows[3]]);
    let high = transpose_4([rows[4], rows[5], rows[6], rows[7]]);
    let mut words = [_mm512_setzero_si512(); 8];
    for w in 0..4 {
        let first = _mm512_shuffle_i64x2::<0x88>(low[w], high[w]);
        let second = _mm512_shuffle_i64x2::<0xdd>(low[w], high[w]);
        words[w] = _mm512_shuffle_i64x2::<0xd8>(first, first);
        words[4 + w] = _mm512_shuffle_i64x2::<0xd8>(second, second);
    }
    words
}

/// Transposes 4 × 4 words in each quarter of four vectors.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose_4(rows: [V; 4]) -> [V; 4] {
    let a = _mm512_unpacklo_epi32(rows[0], rows[1]);
    let b = _mm512_unpackhi_epi32(rows[0], rows[1]);
    let c = _mm512_unpacklo_epi32(rows[2], rows[3]);
    let d = _mm512_unpackhi_epi32(rows[2], rows[3]);
    [_mm512_unpacklo_epi64(a, c), _mm512_unpackhi_epi64(a, c), _mm512_unpacklo_epi64(b, d), _mm512_unpackhi_epi64(b, d)]
}

/// The text of an instruction for each of some registers.
macro_rules! each {
    (add $($a:literal $b:literal),*) => { concat!($("vpaddd zmm", $a, ",zmm", $a, ",zmm", $b, "\n"),*) };
    (xor $($a:literal $b:literal),*) => { concat!($("vpxord zmm", $a, ",zmm", $a, ",zmm", $b, "\n"),*) };
    (rol $by:literal $($a:literal),*) => { concat!($("vprold zmm", $a, ",zmm", $a, ",", $by, "\n"),*) };
}

/// Quarter rounds side by side, each over the registers a, b, c, d.
macro_rules! quarter_rounds {
    ($($a:literal $b:literal $c:literal $d:literal),*) => { concat!(each!(add $($a $b),*), quarter_rounds!(rest $($a $b $c $d),*)) };
    // Without the first addition.
    (rest $($a:literal $b:literal $c:literal $d:literal),*) => { concat!(
        each!(xor $($d $a),*), each!(rol 16 $($d),*),
        each!(add $($c $d),*), each!(xor $($b $c),*), each!(rol 12 $($b),*),
        each!(add $($a $b),*), each!(xor $($d $a),*), each!(rol 8 $($d),*),
        each!(add $($c $d),*), each!(xor $($b $c),*), each!(rol 7 $($b),*),
    ) };
}

/// Four quarter rounds of group a, and those of group b one step behind: so no two steps that only one of the CPU's units
/// can do stand together. First group b's last step from before, on `$late`; its own last step is left to do.
macro_rules! lagging {
    ($($a:literal $b:literal $c:literal $d:literal),*; $($e:literal $f:literal $g:literal $h:literal),*; late $($late:literal),*) => { concat!(
        each!(add $($a $b),*), each!(rol 7 $($late),*),
        each!(xor $($d $a),*), each!(add $($e $f),*),
        each!(rol 16 $($d),*), each!(xor $($h $e),*),
        each!(add $($c $d),*), each!(rol 16 $($h),*),
        each!(xor $($b $c),*), each!(add $($g $h),*),
        each!(rol 12 $($b),*), each!(xor $($f $g),*),
        each!(add $($a $b),*), each!(rol 12 $($f),*),
        each!(xor $($d $a),*), each!(add $($e $f),*),
        each!(rol 8 $($d),*), each!(xor $($h $e),*),
        each!(add $($c $d),*), each!(rol 8 $($h),*),
        each!(xor $($b $c),*), each!(add $($g $h),*),
        each!(rol 7 $($b),*), each!(xor $($f $g),*),
    ) };
}

macro_rules! columns { () => { quarter_rounds!(0 4 8 12, 1 5 9 13, 2 6 10 14, 3 7 11 15) } }
macro_rules! diagonals { () => { quarter_rounds!(0 5 10 15, 1 6 11 12, 2 7 8 13, 3 4 9 14) } }
macro_rules! columns_lagging { () => { lagging!(
    0 4 8 12, 1 5 9 13, 2 6 10 14, 3 7 11 15;
    16 20 24 28, 17 21 25 29, 18 22 26 30, 19 23 27 31;
    late 20, 21, 22, 23
) } }
macro_rules! diagonals_lagging { ($($late:literal),*) => { lagging!(
    0 5 10 15, 1 6 11 12, 2 7 8 13, 3 4 9 14;
    16 21 26 31, 17 22 27 28, 18 23 24 29, 19 20 25 30;
    late $($late),*
) } }

/// What [`Group::begin`] left of 20 rounds, for two groups. Assembly, because compilers spill when all 32 registers are in
/// use, and because the order of the instructions is half of the speed.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
fn rounds_32(a: &mut [V; 16], b: &mut [V; 16]) {
    // SAFETY: works on the named registers and flags only: no memory, no stack. AVX-512F is enabled here.
    unsafe {
        asm!(
            quarter_rounds!(rest 0 4 8 12, 16 20 24 28), diagonals_lagging!(),
            "2:",
            columns_lagging!(), diagonals_lagging!(20, 21, 22, 23),
            "dec {n:e}", "jnz 2b",
            each!(rol 7 20, 21, 22, 23),
            n = inout(reg) 9 => _,
            inout("zmm0") a[0], inout("zmm1") a[1], inout("zmm2") a[2], inout("zmm3") a[3],
            inout("zmm4") a[4], inout("zmm5") a[5], inout("zmm6") a[6], inout("zmm7") a[7],
            inout("zmm8") a[8], inout("zmm9") a[9], inout("zmm10") a[10], inout("zmm11") a[11],
            inout("zmm12") a[12], inout("zmm13") a[13], inout("zmm14") a[14], inout("zmm15") a[15],
            inout("zmm16") b[0], inout("zmm17") b[1], inout("zmm18") b[2], inout("zmm19") b[3],
            inout("zmm20") b[4], inout("zmm21") b[5], inout("zmm22") b[6], inout("zmm23") b[7],
            inout("zmm24") b[8], inout("zmm25") b[9], inout("zmm26") b[10], inout("zmm27") b[11],
            inout("zmm28") b[12], inout("zmm29") b[13], inout("zmm30") b[14], inout("zmm31") b[15],
            options(pure, nomem, nostack),
        );
    }
}

/// The same for one group.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
fn rounds_16(a: &mut [V; 16]) {
    // SAFETY: works on the named registers and flags only: no memory, no stack. AVX-512F is enabled here.
    unsafe {
        asm!(
            quarter_rounds!(rest 0 4 8 12), diagonals!(),
            "2:",
            columns!(), diagonals!(),
            "dec {n:e}", "jnz 2b",
            n = inout(reg) 9 => _,
            inout("zmm0") a[0], inout("zmm1") a[1], inout("zmm2") a[2], inout("zmm3") a[3],
            inout("zmm4") a[4], inout("zmm5") a[5], inout("zmm6") a[6], inout("zmm7") a[7],
            inout("zmm8") a[8], inout("zmm9") a[9], inout("zmm10") a[10], inout("zmm11") a[11],
            inout("zmm12") a[12], inout("zmm13") a[13], inout("zmm14") a[14], inout("zmm15") a[15],
            options(pure, nomem, nostack),
        );
    }
}

/// Adds the start to the end of the rounds; the answer is each lane's block. `N` tells the callers apart: what has one caller
/// is put in line, and its answer stays in registers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
fn finish<const N: usize>(v: &[V; 16], group: &Group, counters: V) -> [V; LANES] {
    // Vector `n` of quad `q`: words 4 q to 4 q + 3 of the lanes n, 4 + n, 8 + n and 12 + n.
    let mut quads = [[counters; 4]; 4];
    for (q, quad) in quads.iter_mut().enumerate() {
        let mut words = [counters; 4];
        for (n, word) in words.iter_mut().enumerate() {
            let start = match 4 * q + n {
                n @ ..4 => _mm512_set1_epi32(SIGMA[n]),
                12 => counters,
                n => load_words(&group.start[n - 4]),
            };
            *word = _mm512_add_epi32(v[4 * q + n], start);
        }
        *quad = transpose_4(words);
    }
    let mut blocks = [counters; LANES];
    for n in 0..4 {
        [blocks[n], blocks[4 + n], blocks[8 + n], blocks[12 + n]] =
            transpose_quarters([quads[0][n], quads[1][n], quads[2][n], quads[3][n]]);
    }
    blocks
}

/// Transposes the quarters of four vectors.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn transpose_quarters([a, b, c, d]: [V; 4]) -> [V; 4] {
    let even = [_mm512_shuffle_i64x2::<0x88>(a, b), _mm512_shuffle_i64x2::<0x88>(c, d)];
    let odd = [_mm512_shuffle_i64x2::<0xdd>(a, b), _mm512_shuffle_i64x2::<0xdd>(c, d)];
    [
        _mm512_shuffle_i64x2::<0x88>(even[0], even[1]),
        _mm512_shuffle_i64x2::<0x88>(odd[0], odd[1]),
        _mm512_shuffle_i64x2::<0xdd>(even[0], even[1]),
        _mm512_shuffle_i64x2::<0xdd>(odd[0], odd[1]),
    ]
}

/// Where the blocks of a group go: into memory, or onto texts.
pub(super) type Onto = Option<[Half; 2]>;

/// Eight lanes' blocks go onto eight texts.
#[derive(Clone, Copy)]
pub(super) struct Half {
    /// Which eight.
    pub(super) eight: usize,
    /// From which byte of them on.
    pub(super) at: usize,
}

/// The blocks of one or two groups. Lane `n` of a group has block `counters[n]` of its packet; block 0 holds the Poly1305 key.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512ifma,avx512vbmi2,bmi2")]
pub(super) fn keystream<const N: usize>(
    groups: [&Group; N],
    counters: [&Words; N],
    blocks: &mut [[Block; LANES]; 2],
    onto: [Onto; N],
    texts: &mut [[&mut [u8]; 8]],
) {
    let mut v = [[_mm512_setzero_si512(); 16]; N];
    for n in 0..N {
        v[n] = groups[n].begin(load_words(counters[n]));
    }
    match &mut v[..] {
        [a, b] => rounds_32(a, b),
        v => v.iter_mut().for_each(|v| rounds_16(v)),
    }
    for n in 0..N {
        let made = finish::<N>(&v[n], groups[n], load_words(counters[n]));
        if let Some(halves) = onto[n] {
            for (half, Half { eight, at }) in halves.into_iter().enumerate() {
                let Some(texts) = texts.get_mut(eight) else { continue };
                for lane in 0..8 {
                    if let Some(text) = texts[lane].get_mut(at..) {
                        xor(text, made[8 * half + lane]);
                    }
                }
            }
        } else {
            for (block, made) in blocks[n & 1].iter_mut().zip(made) {
                store(&mut block.0, made);
            }
        }
    }
}
