use super::*;

#[test]
fn is_full_again_when_all_came_back() {
    let eal = eal();
    let pool = pool(&eal, "p", 511);
    assert_eq!((pool.size(), pool.available()), (511, 511));
    let one = pool.alloc().unwrap();
    assert_eq!((one.data().len(), one.headroom(), one.tailroom()), (0, HEADROOM, 2048));
    assert_eq!(one.meta(), &Meta::default());
    assert!(one.is_plain());
    let mut burst = Burst::new();
    assert_eq!(pool.alloc_burst(&mut burst, 20), 20);
    assert_eq!(pool.alloc_burst(&mut burst, 20), BURST - 20);
    assert_eq!(pool.available(), 511 - 1 - 32);
    drop(one);
    Mbuf::free_burst(&mut burst);
    assert!(burst.is_empty());
    assert_eq!(pool.available(), 511);
}

#[test]
fn yields_none_when_empty() {
    let eal = eal();
    let pool = pool(&eal, "p", 40);
    let mut burst = Burst::new();
    assert_eq!(pool.alloc_burst(&mut burst, 32), 32);
    let mut second = Burst::new();
    assert_eq!(pool.alloc_burst(&mut second, 32), 8, "what is there, though not all");
    assert!(pool.alloc().is_none());
    drop(second.pop());
    assert!(pool.alloc().is_some());
}

#[test]
fn reused_mbufs_have_fresh_notes_and_room() {
    let eal = eal();
    let pool = pool(&eal, "p", 1);
    let mut mbuf = packet(&pool, b"secret");
    mbuf.meta_mut().receiver = 7;
    mbuf.prepend(5).unwrap();
    drop(mbuf);
    let mbuf = pool.alloc().unwrap();
    assert_eq!((mbuf.meta().receiver, mbuf.headroom(), mbuf.total_len()), (0, HEADROOM, 0));
}

#[test]
fn refusals_say_what_was_wanted() {
    let eal = eal();
    let error = Pool::create(&eal, &PoolOptions::new("large", 1 << 20)).unwrap_err();
    assert!(matches!(&error, PoolError::NoMemory { wanted_mib: 4096..4200, count: 0x10_0000, .. }), "{error}");
    let _first = pool(&eal, "twice", 8);
    let error = Pool::create(&eal, &PoolOptions::new("twice", 8)).unwrap_err();
    assert!(matches!(error, PoolError::Exists { .. }), "{error}");
    for name in ["", "nul\0nul", &"x".repeat(26)] {
        let error = Pool::create(&eal, &PoolOptions::new(name, 8)).unwrap_err();
        assert!(matches!(error, PoolError::Name { .. }), "{error}");
    }
    pool(&eal, &"x".repeat(25), 8);
    let small = PoolOptions { data_room: 128, ..PoolOptions::new("small", 8) };
    let error = Pool::create(&eal, &small).unwrap_err();
    assert!(matches!(error, PoolError::DataRoom { data_room: 128, .. }), "{error}");
}

#[test]
fn a_dropped_pool_gives_its_memory_and_name_back() {
    let eal = eal();
    for _ in 0..8 {
        // Two of them would not fit.
        assert_eq!(pool(&eal, "p", 20_000).size(), 20_000);
    }
}

#[test]
fn mbufs_outlive_the_handles_of_pool_and_eal() {
    let eal = eal();
    let pool = pool(&eal, "p", 8);
    let mut mbuf = packet(&pool, &[7; 100]);
    drop(pool);
    drop(eal);
    mbuf.data_mut().fill(8);
    assert_eq!(mbuf.data(), [8; 100]);
}

#[test]
fn tells_its_own_mbufs_from_others() {
    let eal = eal();
    let (one, two) = (pool(&eal, "one", 8), pool(&eal, "two", 8));
    let (mbuf, foreign) = (one.alloc().unwrap(), two.alloc().unwrap());
    assert!(one.owns(&mbuf) && one.clone().owns(&mbuf) && two.owns(&foreign));
    assert!(!one.owns(&foreign) && !two.owns(&mbuf));
    // A bulk free sends each home.
    let mut burst: Burst<Mbuf> = [mbuf, foreign].into_iter().collect();
    Mbuf::free_burst(&mut burst);
    assert_eq!((one.available(), two.available()), (8, 8));
}
