//! A service manager as systemd is one to culvertd: it hears what is notified, keeps descriptors over a restart, hands them back.

use culvert::cli::lab::Lab;
use rustix::cmsg_space;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::fs::Permissions;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// What it has.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The lines that it was told, in order.
    pub(crate) said: Vec<String>,
    /// What is in its store.
    pub(crate) store: Vec<OwnedFd>,
}

/// It hears until it is dropped.
pub(crate) struct Manager {
    path: PathBuf,
    state: Arc<Mutex<State>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// How a culvertd is started; what it is handed stays open until this is dropped.
pub(crate) struct Start {
    pub(crate) words: Vec<String>,
    _handed: Vec<OwnedFd>,
}

impl Manager {
    pub(crate) fn new(lab: &Lab) -> Self {
        let path = lab.file("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        // As that of systemd: culvertd need not be root.
        std::fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (state, over) = (Arc::<Mutex<State>>::default(), Arc::<AtomicBool>::default());
        let thread = {
            let (state, over) = (Arc::clone(&state), Arc::clone(&over));
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    hear(&socket, &state);
                }
            })
        };
        Self { path, state, over, thread: Some(thread) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The words that start a culvertd with what is in the store.
    pub(crate) fn start(&self) -> Start {
        let handed: Vec<_> = self.state().store.iter().map(|kept| kept.try_clone().unwrap()).collect();
        self.start_with(handed)
    }

    /// The same with these descriptors.
    pub(crate) fn start_with(&self, handed: Vec<OwnedFd>) -> Start {
        let mut script = String::new();
        for (place, kept) in (3..).zip(&handed) {
            fcntl_setfd(kept, FdFlags::empty()).unwrap();
            script += &format!("exec {place}<&{}; ", kept.as_raw_fd());
        }
        if !handed.is_empty() {
            let names = vec!["culvert-sessions"; handed.len()].join(":");
            script += &format!("export LISTEN_PID=$$ LISTEN_FDS={} LISTEN_FDNAMES={names}; ", handed.len());
        }
        script += "exec \"$@\"";
        let socket = format!("NOTIFY_SOCKET={}", self.path.display());
        let words = ["env", &socket, "bash", "-c", &script, "bash"].map(str::to_owned).to_vec();
        Start { words, _handed: handed }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// One datagram.
fn hear(socket: &UnixDatagram, state: &Mutex<State>) {
    let mut bytes = [0; 4096];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let Ok(got) = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC) else {
        return;
    };
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    let text = String::from_utf8_lossy(&bytes[..got.bytes]);
    let has = |line: &str| text.lines().any(|other| other == line);
    let mut state = state.lock().unwrap();
    state.said.extend(text.lines().map(str::to_owned));
    if has("FDSTORE=1") && has("FDNAME=culvert-sessions") {
        state.store.append(&mut descriptors);
    } else if has("FDSTOREREMOVE=1") && has("FDNAME=culvert-sessions") {
        state.store.clear();
    }
    // A barrier's descriptor is closed here, after what came before it was done.
}
