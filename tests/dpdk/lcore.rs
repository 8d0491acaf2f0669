use super::*;

#[test]
fn threads_register_after_they_are_pinned() {
    let eal = eal();
    assert!(matches!(register_thread(&eal), Err(LcoreError::Registered(_))), "the main thread");
    let pool = pool(&eal, "p", 1023);
    let cores = core_affinity::get_core_ids().unwrap();
    let threads: Vec<_> = (0..2)
        .map(|n| {
            let (eal, pool, core) = (eal.clone(), pool.clone(), cores[n % cores.len()]);
            std::thread::spawn(move || {
                assert!(core_affinity::set_for_current(core));
                let guard = register_thread(&eal).unwrap();
                assert!(matches!(register_thread(&eal), Err(LcoreError::Registered(id)) if id == guard.id()));
                for _ in 0..100 {
                    let mut burst = Burst::new();
                    assert_eq!(pool.alloc_burst(&mut burst, 32), 32);
                    Mbuf::free_burst(&mut burst);
                }
                guard.id()
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(pool.available(), pool.size());
}

#[test]
fn two_registered_threads_are_two_lcores() {
    let eal = eal();
    let meet = std::sync::Arc::new(std::sync::Barrier::new(2));
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (eal, meet) = (eal.clone(), meet.clone());
            std::thread::spawn(move || {
                let guard = register_thread(&eal).unwrap();
                meet.wait();
                guard.id()
            })
        })
        .collect();
    let ids: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn a_pool_dropped_beside_registered_threads_is_freed_later() {
    let eal = eal();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn({
        let eal = eal.clone();
        move || {
            let _guard = register_thread(&eal).unwrap();
            wait.recv().unwrap();
        }
    });
    drop(pool(&eal, "p", 8));
    go.send(()).unwrap();
    thread.join().unwrap();
    // Freed with the next one, so that the name is free.
    drop(pool(&eal, "other", 8));
    pool(&eal, "p", 8);
}

#[test]
fn mbufs_freed_on_another_thread_come_home() {
    let eal = eal();
    let pool = pool(&eal, "p", 255);
    let mut burst = Burst::new();
    pool.alloc_burst(&mut burst, 32);
    std::thread::spawn(move || Mbuf::free_burst(&mut burst)).join().unwrap();
    assert_eq!(pool.available(), 255);
}
