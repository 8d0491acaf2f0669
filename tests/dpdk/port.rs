use super::*;

#[test]
fn a_full_net_ring_refuses_and_the_burst_keeps_exactly_the_refused() {
    let eal = eal();
    let pool = pool(&eal, "p", 2047);
    let (port, mut rx, mut tx) = start(&eal, "r", &device("net_ring0"), &pool);
    assert!(port.info().passes_pointers);
    let mut sent = 0_u32;
    let mut burst = Burst::new();
    loop {
        burst.extend((0..32).map(|n| packet(&pool, &(sent + n).to_be_bytes())));
        let accepted = tx.tx_burst(&mut burst);
        sent += u32::try_from(accepted).unwrap();
        assert_eq!(burst.len(), 32 - accepted);
        if !burst.is_empty() {
            break;
        }
    }
    // A ring of 1,024 places holds 1,023.
    assert_eq!((sent, burst.len()), (1023, 1));
    assert_eq!(burst[0].data(), sent.to_be_bytes());
    assert_eq!(tx.tx_burst(&mut burst), 0);
    assert_eq!(burst.len(), 1);

    let mut received = Burst::new();
    assert_eq!(rx.rx_burst(&mut received), 32);
    assert_eq!(tx.tx_burst(&mut burst), 1, "there is room again");
    let mut expected = 0_u32;
    loop {
        for mbuf in received.drain(..) {
            assert_eq!(mbuf.data(), expected.to_be_bytes());
            expected += 1;
        }
        if rx.rx_burst(&mut received) == 0 {
            break;
        }
    }
    assert_eq!(expected, 1024);
    let stats = port.stats().unwrap();
    assert_eq!((stats.ipackets, stats.opackets), (1024, 1024));
    port.clear_stats().unwrap();
    assert_eq!(port.stats().unwrap().opackets, 0);
    assert_eq!(pool.available(), pool.size());
}

#[test]
fn part_of_a_burst_is_refused_in_order() {
    let eal = eal();
    let pool = pool(&eal, "p", 255);
    let (wire, mut far) = MemoryWire::create(&eal, "w", 1, 16).unwrap();
    let (_port, _rx, mut tx) = start(&eal, "w", wire.device(), &pool);
    let mut burst: Burst<Mbuf> = (0..20_u8).map(|n| packet(&pool, &[n])).collect();
    assert_eq!(tx.tx_burst(&mut burst), 15);
    let left: Vec<u8> = burst.iter().map(|mbuf| mbuf.data()[0]).collect();
    assert_eq!(left, [15, 16, 17, 18, 19]);
    let mut out = Burst::new();
    assert_eq!(far[0].rx.rx_burst(&mut out), 15);
    let out: Vec<u8> = out.iter().map(|mbuf| mbuf.data()[0]).collect();
    assert_eq!(out, (0..15).collect::<Vec<u8>>());
}

#[test]
fn receives_from_net_null_with_fresh_notes() {
    let eal = eal();
    let pool = pool(&eal, "p", 63);
    let (port, mut rx, mut tx) = start(&eal, "n", &device("net_null"), &pool);
    assert_eq!(port.info().driver, "net_null");
    let mut burst = Burst::new();
    assert_eq!(rx.rx_burst(&mut burst), 32);
    for mbuf in &mut burst {
        assert_eq!((mbuf.data().len(), mbuf.meta().port), (64, port.id().0));
        assert_eq!((mbuf.meta().receiver, mbuf.meta().checksum()), (0, 0));
        mbuf.meta_mut().receiver = 9;
        assert!(mbuf.is_plain() && pool.owns(mbuf));
    }
    assert_eq!(rx.rx_burst(&mut burst), 0, "no free place");
    assert_eq!(tx.tx_burst(&mut burst), 32);
    assert_eq!(pool.available(), 63);
    assert_eq!(rx.rx_burst(&mut burst), 32);
    assert!(burst.iter().all(|mbuf| mbuf.meta().receiver == 0));
    let mut more = Burst::new();
    assert_eq!(rx.rx_burst(&mut more), 0, "a burst of 32 wants more than the 31 that are left");
}

#[test]
fn the_pool_is_full_after_a_port_with_packets_closed() {
    let eal = eal();
    let pool = pool(&eal, "p", 511);
    let (wire, far) = MemoryWire::create(&eal, "w", 1, 128).unwrap();
    let (port, rx, mut tx) = start(&eal, "w", wire.device(), &pool);
    let mut burst: Burst<Mbuf> = (0..32).map(|_| packet(&pool, b"x")).collect();
    tx.tx_burst(&mut burst);
    assert_eq!((wire.in_flight(), pool.available()), (32, 511 - 32));
    drop((port, rx, tx));
    assert_eq!(pool.available(), 511 - 32, "the far end can still fetch them");
    drop((wire, far));
    assert_eq!(pool.available(), 511);
}

#[test]
fn closes_in_any_order_and_the_name_is_free_again() {
    let eal = eal();
    let pool = pool(&eal, "p", 255);
    for round in 0..4 {
        let (port, rx, tx) = start(&eal, "r", &device("net_ring0"), &pool);
        match round {
            0 => drop((port, rx, tx)),
            1 => drop((rx, tx, port)),
            2 => drop((tx, port, rx)),
            _ => std::thread::spawn(move || drop((port, rx, tx))).join().unwrap(),
        }
    }
    for _ in 0..3 {
        let (wire, far) = MemoryWire::create(&eal, "w", 2, 64).unwrap();
        let taken = MemoryWire::create(&eal, "w", 1, 64).unwrap_err();
        assert!(matches!(taken.failure, PortFailure::Step { .. }), "{taken}");
        let (port, rx, tx) = start(&eal, "w", wire.device(), &pool);
        drop((wire, port, far, rx, tx));
    }
    // Never opened.
    drop(MemoryWire::create(&eal, "w", 1, 64).unwrap());
    drop(MemoryWire::create(&eal, "w", 1, 64).unwrap());
}

#[test]
fn a_wire_carries_both_ways_on_each_queue() {
    let eal = eal();
    let pool = pool(&eal, "p", 255);
    let (wire, mut far) = MemoryWire::create(&eal, "wan", 2, 64).unwrap();
    // As from a configuration: by its text.
    let same = device(&wire.device().to_string());
    let mut port = Port::open(&eal, "wan", &same, 2, 1500).unwrap();
    let options = PortOptions { rx_queues: 2, tx_queues: 2, ..PortOptions::new(pool.clone()) };
    let mut queues = port.configure(&options).unwrap();
    assert!(port.link_up());
    for queue in 0..2 {
        let mut there: Burst<Mbuf> = [packet(&pool, &[queue, 1])].into_iter().collect();
        there[0].meta_mut().receiver = 5;
        let index = usize::from(queue);
        assert_eq!(far[index].tx.tx_burst(&mut there), 1);
        let mut here = Burst::new();
        assert_eq!(queues.rx[1 - index].rx_burst(&mut here), 0);
        assert_eq!(queues.rx[index].rx_burst(&mut here), 1);
        assert_eq!((here[0].data(), here[0].meta().receiver), (&[queue, 1][..], 0));
        here[0].data_mut()[1] = 2;
        assert_eq!(queues.tx[index].tx_burst(&mut here), 1);
        assert_eq!(far[index].rx.rx_burst(&mut there), 1);
        assert_eq!((there[0].data(), there[0].meta().port), (&[queue, 2][..], port.id().0));
    }
    assert_eq!(queues.rx[0].foreign_dropped(), 0);
    let many = MemoryWire::create(&eal, "many", 17, 64).unwrap_err();
    assert!(matches!(many.failure, PortFailure::Queues { wanted: 17, max: 16, .. }), "{many}");
    for name in ["", "a b", "seventeen_letters"] {
        let wrong = MemoryWire::create(&eal, name, 1, 64).unwrap_err();
        assert_eq!(wrong.failure, PortFailure::Name);
    }
}

#[test]
fn chains_pass_a_wire_as_they_are() {
    let eal = eal();
    let pool = pool(&eal, "p", 15);
    let (wire, mut far) = MemoryWire::create(&eal, "w", 1, 16).unwrap();
    let (_port, mut rx, _tx) = start(&eal, "w", wire.device(), &pool);
    let chain = packet(&pool, b"front ").chain(packet(&pool, b"back")).unwrap();
    let mut burst: Burst<Mbuf> = [chain].into_iter().collect();
    far[0].tx.tx_burst(&mut burst);
    rx.rx_burst(&mut burst);
    assert!(!burst[0].is_plain());
    assert_eq!(burst[0].copy_into(&pool).unwrap().data(), b"front back");
}

#[test]
fn wrong_devices_are_named() {
    let eal = eal();
    let open = |text: &str| Port::open(&eal, "wan", &device(text), 1, 1500).unwrap_err();
    let error = open("net_af_packet,iface=no-such-if0");
    let PortError { port, failure: PortFailure::Attach { log, mend, .. }, .. } = &error else { panic!("{error}") };
    assert_eq!(port, "wan");
    assert!(mend.contains("ip link"));
    assert!(log.iter().any(|line| line.contains("No such device")), "{error}");
    let error = open("net_no_such_driver");
    assert!(matches!(error.failure, PortFailure::Attach { .. }), "{error}");
    let error = open("0000:ff:1f.7");
    assert!(matches!(error.failure, PortFailure::Attach { .. }), "{error}");
    assert!(error.to_string().contains("vfio-pci"), "{error}");
}

#[test]
fn limits_are_checked_before_anything_is_set_up() {
    let eal = eal();
    let pool = pool(&eal, "p", 63);
    let mut port = Port::open(&eal, "wan", &device("net_ring0"), 1, 1500).unwrap();
    let again = Port::open(&eal, "lan", &device("net_ring0"), 1, 1500).unwrap_err();
    assert_eq!(again.failure, PortFailure::Taken);
    let options = PortOptions { rx_queues: 1000, ..PortOptions::new(pool.clone()) };
    let error = port.configure(&options).unwrap_err();
    assert!(matches!(error.failure, PortFailure::Queues { what: "RX", wanted: 1000, .. }));

    let options = PortOptions::new(pool);
    let queues = port.configure(&options).unwrap();
    assert_eq!(port.configure(&options).unwrap_err().failure, PortFailure::InUse);
    assert_eq!(port.stop().unwrap_err().failure, PortFailure::InUse);
    drop(queues);
    port.stop().unwrap();
    assert!(!port.link_up());
    let _queues = port.configure(&options).unwrap();
    assert!(port.link_up());
    port.set_link(false).unwrap();
    assert!(!port.link_up());
    port.set_link(true).unwrap();
    assert!(port.link_up());
}

#[test]
fn a_port_tells_of_itself() {
    let eal = eal();
    let port = Port::open(&eal, "wan", &device("net_null0"), 1, 1500).unwrap();
    let info = port.info();
    assert_eq!((info.device.as_str(), info.is_vdev, info.passes_pointers), ("net_null0", true, false));
    assert!(info.max_rx_queues > 0 && info.max_mtu >= 1500 && info.min_mtu <= 1280);
    assert_eq!(info.data_room_for(1500), 2048 + 128);
    assert_eq!(info.data_room_for(9000), 9216 + 128);
    assert_eq!(info.data_room_for(u16::MAX), u16::MAX);
    assert_eq!(port.mac(), info.mac);
    let names: Vec<String> = port.extended_stats().unwrap().into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&"rx_good_packets".to_owned()), "{names:?}");
}
