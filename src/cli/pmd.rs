//! `culvert pmd EAL-ARGUMENTS -- ARGUMENTS`: a lab in this process, and the commands of the table for it.

use super::front::{Outcome, Output, Settings};
#[cfg(feature = "dpdk")]
pub(super) use lab::pmd;
use std::io::Write;

#[cfg(not(feature = "dpdk"))]
pub(super) fn pmd<O: Write, E: Write>(output: &mut Output<O, E>, _: &[String], settings: &Settings) -> Outcome {
    output.fail(settings, Outcome::Failed, "this culvert was built without DPDK, which pmd needs")
}

#[cfg(feature = "dpdk")]
mod lab {
    use super::{Outcome, Output, Settings, Write};
    use crate::api::{LabRequest, Request};
    use crate::cli::{ask, batch, lab_text, line::Line, shell, testpmd};
    use crate::fwd::{Lab, LabOptions, OPTIONS};
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use serde_json::Value;
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    use std::cell::RefCell;
    use std::io::{BufReader, IsTerminal, Read};
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::time::{Duration, Instant};

    impl ask::Lab for Lab {
        fn answer(&mut self, request: &Request) -> Result<Value, String> {
            Self::answer(self, request)
        }

        fn order(&mut self, request: &LabRequest) -> Result<Value, String> {
            Self::order(self, request)
        }

        fn print_by(&mut self, print: Box<dyn FnMut(String) + Send>) {
            Self::print_by(self, print);
        }
    }

    /// Opens a lab, and closes it when the prompt, the input or a signal says so. Main thread.
    pub(in crate::cli) fn pmd<O: Write, E: Write>(
        output: &mut Output<O, E>,
        words: &[String],
        settings: &Settings,
    ) -> Outcome {
        let mut parts = words.splitn(2, |word| word == "--");
        let (eal, own) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let options = match LabOptions::parse(own) {
            Ok(options) => options,
            Err(error) => return output.fail(settings, Outcome::Usage, &error.to_string()),
        };
        if options.help {
            return said(output, &help());
        }
        log_to_stderr();
        // Of a signal: everything ends, in order. From here on, since DPDK takes a while.
        let ended = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            if let Err(error) = signal_hook::flag::register(signal, Arc::clone(&ended)) {
                return output.fail(settings, Outcome::Failed, &format!("signals: {error}"));
            }
        }
        let lab = match Lab::open(eal.to_vec(), options.clone()) {
            Ok(lab) => {
                said(output, &opened(&lab));
                Rc::new(RefCell::new(lab))
            }
            Err(error) => return output.fail(settings, Outcome::Failed, &error.to_string()),
        };
        let lab_of_desk = Some(Rc::clone(&lab) as Rc<RefCell<dyn ask::Lab>>);
        let desk = Settings { lab: lab_of_desk, interrupted: Arc::clone(&ended), ..settings.clone() };
        let outcome = run(output, &options, &desk, &ended);
        drop(desk);
        // Relaxed, here and below: a signal's time is anyone's guess, and no memory hangs on it.
        let Some(lab) = Rc::into_inner(lab) else { return outcome };
        close(output, lab.into_inner(), settings, outcome, ended.load(Relaxed))
    }

    fn run<O: Write, E: Write>(
        output: &mut Output<O, E>,
        options: &LabOptions,
        desk: &Settings,
        ended: &Arc<AtomicBool>,
    ) -> Outcome {
        if let Some(file) = &options.cmdline_file {
            let first = batch::file(output, file, &Settings { stop: true, ..desk.clone() });
            if first == Outcome::Quit || !first.is_good() || desk.is_interrupted() {
                return first;
            }
        }
        if options.auto_start || !options.interactive {
            let start = if options.tx_first { "start tx_first" } else { "start" };
            let outcome = Line::parse(start).map_or(Outcome::Usage, |line| output.run(line, desk));
            if !outcome.is_good() {
                return outcome;
            }
        }
        if !options.interactive {
            return wait(output, options, desk, ended);
        }
        if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
            if let Err(error) = interrupt_at_sigterm() {
                return output.fail(desk, Outcome::Failed, &format!("signals: {error}"));
            }
            return shell::shell(output, desk);
        }
        let input = BufReader::new(Input(Arc::clone(ended)));
        batch::lines(output, input, "-", &mut desk.clone())
    }

    /// A prompt that waits sees SIGINT alone, which SIGTERM becomes from here on: again and again, as one may come just before it waits.
    fn interrupt_at_sigterm() -> std::io::Result<()> {
        let mut signals = Signals::new([SIGTERM])?;
        let thread = std::thread::Builder::new().name("sigterm".to_owned());
        thread.spawn(move || {
            while signals.forever().next().is_some() {
                while signal_hook::low_level::raise(SIGINT).is_ok() {
                    std::thread::sleep(TICK);
                }
            }
        })?;
        Ok(())
    }

    /// Forwards until Enter or a signal; with a period, until a signal.
    fn wait<O: Write, E: Write>(
        output: &mut Output<O, E>,
        options: &LabOptions,
        desk: &Settings,
        ended: &Arc<AtomicBool>,
    ) -> Outcome {
        let Some(period) = options.stats_period else {
            said(output, "Press enter to exit\n");
            let _any = Input(Arc::clone(ended)).read(&mut [0]);
            return Outcome::Done;
        };
        // As testpmd, the first time at once.
        let mut next = Instant::now();
        while !ended.load(Relaxed) {
            if Instant::now() >= next {
                next += period;
                let clear = if std::io::stdout().is_terminal() { "\x1b[2J\x1b[1;1H" } else { "" };
                let request = Request::ShowPortStats { port: "all".to_owned() };
                let text = match ask::ask_desk(desk, &request) {
                    Ok(answer) => {
                        let stats = testpmd::stats(&answer);
                        format!("{clear}\nPort statistics ===================================={stats}")
                    }
                    Err(error) => return output.fail(desk, Outcome::Failed, &error.to_string()),
                };
                if !said(output, &text).is_good() {
                    return Outcome::Failed;
                }
            }
            std::thread::sleep(TICK.min(next.saturating_duration_since(Instant::now())));
        }
        Outcome::Done
    }

    /// What ends a lab: the last statistics, all ports closed, all mbufs back.
    fn close<O: Write, E: Write>(
        output: &mut Output<O, E>,
        mut lab: Lab,
        settings: &Settings,
        outcome: Outcome,
        by_signal: bool,
    ) -> Outcome {
        let mut outcome = if outcome.is_good() { Outcome::Done } else { outcome };
        if by_signal {
            said(output, "\nSignal received, preparing to exit...\n");
        }
        if lab.is_running() {
            match lab.order(&LabRequest::Stop) {
                Ok(answer) => said(output, &lab_text::of(&answer).unwrap_or_default()),
                Err(why) => {
                    outcome = Outcome::Failed;
                    output.fail(settings, Outcome::Failed, &why)
                }
            };
        }
        if let Some(complaint) = lab.complaint() {
            outcome = output.fail(settings, Outcome::Failed, &complaint);
        }
        if let Err(error) = lab.close() {
            outcome = output.fail(settings, Outcome::Failed, &error.to_string());
        }
        said(output, "\nBye...\n");
        outcome
    }

    fn said<O: Write, E: Write>(output: &mut Output<O, E>, text: &str) -> Outcome {
        let written = output.out.write_all(text.as_bytes()).and_then(|()| output.out.flush());
        if written.is_ok() { Outcome::Done } else { Outcome::Failed }
    }

    /// What testpmd says when its ports are up.
    fn opened(lab: &Lab) -> String {
        let port = |(port, socket, mac)| format!("Configuring Port {port} (socket {socket})\nPort {port}: {mac}\n");
        lab.ports().map(port).collect::<String>() + "Checking link statuses...\nDone\n"
    }

    fn help() -> String {
        let mut text =
            "culvert pmd EAL-ARGUMENTS -- ARGUMENTS\n\nBefore the --: what DPDK takes (culvert pmd -h -- lists it).\n\n".to_owned();
        for option in OPTIONS {
            let short = if option.short.is_empty() { String::new() } else { format!("{}, ", option.short) };
            let value = if option.value.is_empty() { String::new() } else { format!("={}", option.value) };
            let name = format!("{short}{}{value}", option.long);
            text += &format!("  {name:<42} {}\n", option.help);
        }
        text
    }

    /// What DPDK warns of, apart from the answers.
    fn log_to_stderr() {
        let logs = tracing_subscriber::fmt().with_writer(std::io::stderr).without_time().with_ansi(false);
        // Somebody did so already: a test.
        let _twice = logs.with_max_level(tracing::Level::WARN).try_init();
    }

    /// How long a signal waits to be seen.
    const TICK: Duration = Duration::from_millis(50);

    /// The standard input, which ends at a signal.
    struct Input(Arc<AtomicBool>);

    impl Read for Input {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let stdin = std::io::stdin();
            let tick = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            while !self.0.load(Relaxed) {
                match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&tick)) {
                    Ok(0) | Err(rustix::io::Errno::INTR) => {}
                    Ok(_) => return Ok(rustix::io::read(&stdin, buffer)?),
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(0)
        }
    }
}
