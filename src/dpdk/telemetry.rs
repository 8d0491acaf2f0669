//! Commands of our own on DPDK's telemetry socket, for `dpdk-telemetry.py` and what speaks as it does.
//!
//! DPDK calls back from a thread of its own, with nothing to tell whom it is for, and forgets no command: so the one who
//! answers stands in a static, and goes when his [`Telemetry`] does.

use super::{Eal, Errno};
use core::ffi::{CStr, c_char, c_int};
use dpdk_sys::rte_tel_data;
use std::ffi::CString;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One entry of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TelemetryValue {
    /// A number.
    Number(u64),
    /// A text, of which the first 127 bytes are sent.
    Text(String),
}

/// Names and values: 256 at most are sent. Characters of a name that DPDK does not take become `_`.
pub type TelemetryAnswer = Vec<(String, TelemetryValue)>;

/// Gives the answer to a command and its parameters; `None`: there is none.
type Answer = Box<dyn FnMut(&str, &str) -> Option<TelemetryAnswer> + Send>;

static ANSWER: Mutex<Option<Answer>> = Mutex::new(None);

/// Commands are answered while this lives.
#[derive(Debug)]
pub struct Telemetry(());

impl Telemetry {
    /// Has `answer` asked for each of `commands` (with their help) from DPDK's telemetry thread, where it may block. One at a time:
    /// a later call takes the earlier one's place. Main thread.
    ///
    /// # Errors
    /// A command's name is none, or there is no room for more.
    pub fn serve(
        _eal: &Eal,
        commands: &[(&'static CStr, &'static CStr)],
        answer: impl FnMut(&str, &str) -> Option<TelemetryAnswer> + Send + 'static,
    ) -> Result<Self, Errno> {
        *lock() = Some(Box::new(answer));
        let served = Self(());
        static REGISTERED: Mutex<Vec<&CStr>> = Mutex::new(Vec::new());
        let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
        for (command, help) in commands {
            // By an earlier gateway of this process: DPDK would list it twice.
            if registered.contains(command) {
                continue;
            }
            // SAFETY: the strings are C strings, which DPDK copies; the function lives as long as the program.
            let result =
                unsafe { dpdk_sys::rte_telemetry_register_cmd(command.as_ptr(), Some(on_command), help.as_ptr()) };
            Errno::check(result)?;
            registered.push(*command);
        }
        Ok(served)
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        let answer = lock().take();
        // Not under the lock: it may hold much.
        drop(answer);
    }
}

fn lock() -> MutexGuard<'static, Option<Answer>> {
    ANSWER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// DPDK's telemetry thread asks.
///
/// # Safety
/// `command` is a C string, `parameters` one or null, and `data` an answer that was not begun.
unsafe extern "C" fn on_command(command: *const c_char, parameters: *const c_char, data: *mut rte_tel_data) -> c_int {
    let text = |text: *const c_char| {
        if text.is_null() {
            return String::new();
        }
        // SAFETY: a C string, as the caller promises.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    };
    let (command, parameters) = (text(command), text(parameters));
    let answer = lock().as_mut().and_then(|answer| answer(&command, &parameters));
    let Some(answer) = answer else { return -1 };
    // SAFETY: not begun yet, as the caller promises.
    unsafe { dpdk_sys::rte_tel_data_start_dict(data) };
    for (name, value) in answer.iter().take(dpdk_sys::RTE_TEL_MAX_DICT_ENTRIES as usize) {
        let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '/' { c } else { '_' }).collect();
        let Ok(name) = CString::new(name) else { continue };
        let _too_many_or_too_long = match value {
            // SAFETY: begun as a dictionary above; DPDK copies the name.
            TelemetryValue::Number(number) => unsafe {
                dpdk_sys::dpdk_tel_data_add_dict_u64(data, name.as_ptr(), *number)
            },
            TelemetryValue::Text(text) => {
                let text = CString::new(text.replace('\0', "")).unwrap_or_default();
                // SAFETY: as above; DPDK copies the text, and cuts it.
                unsafe { dpdk_sys::rte_tel_data_add_dict_string(data, name.as_ptr(), text.as_ptr()) }
            }
        };
    }
    0
}
