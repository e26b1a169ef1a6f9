//! Long work on a thread of its own, while the calling thread delivers progress and looks for Ctrl-C.
//!
//! Signals reach Python's main thread only, and a progress bar of a notebook belongs to the thread that made it; so the
//! caller waits here, without the interpreter's lock, and wakes up for every report and some times a second. A signal
//! or an exception of the callback asks the work to stop; it is raised when the work has ended, so that nothing runs on
//! behind the caller's back.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use titlecard_engine::progress::Progress;

/// How long Ctrl-C may go unnoticed by the waiting thread.
const POLL: Duration = Duration::from_millis(50);
/// As the main thread of a program has; others get less.
const STACK_BYTES: usize = 8 << 20;

thread_local! {
    /// Of a thread that works: whether it was asked to stop.
    static STOP: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// How far the work is, on its way to the callback.
struct Event {
    step: String,
    done: u64,
    total: u64,
    note: String,
}

/// The worker's end: takes reports, answers whether to go on.
pub(crate) struct Teller {
    stop: Arc<AtomicBool>,
    sender: Sender<Event>,
    listens: bool,
}

impl Teller {
    /// Reports and answers whether to go on.
    pub(crate) fn tell(&mut self, step: &str, done: u64, total: u64, note: &str) -> ControlFlow<()> {
        if self.listens {
            // Nobody listens any more only when the caller is gone; then `stop` does not matter either.
            let _ = self.sender.send(Event { step: step.to_owned(), done, total, note: note.to_owned() });
        }
        if self.stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// As the report the engine takes.
    pub(crate) fn report(&mut self) -> impl FnMut(&Progress<'_>) -> ControlFlow<()> + '_ {
        |progress| self.tell(progress.step, progress.done, progress.total, progress.note)
    }
}

/// Whether the work of this thread was asked to stop: for code that takes no report.
pub(crate) fn is_stopped() -> bool {
    STOP.with_borrow(|stop| stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)))
}

/// Runs `work` and returns what it came to.
///
/// - `progress`: called as `progress(step, done, total, note)`.
///
/// # Errors
/// `KeyboardInterrupt` or what the callback raised, after the work has stopped.
pub(crate) fn run<T: Send>(
    py: Python<'_>,
    progress: Option<&Py<PyAny>>,
    work: impl FnOnce(&mut Teller) -> T + Send,
) -> PyResult<T> {
    let stop = Arc::new(AtomicBool::new(false));
    let (sender, receiver) = mpsc::channel();
    let mut teller = Teller { stop: Arc::clone(&stop), sender, listens: progress.is_some() };
    let stop_of_worker = Arc::clone(&stop);
    let on_worker = move || {
        STOP.set(Some(stop_of_worker));
        work(&mut teller)
    };
    let wait = move || {
        thread::scope(|scope| {
            let worker = thread::Builder::new()
                .name("titlecard".to_owned())
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, on_worker)
                .map_err(|error| PyRuntimeError::new_err(format!("cannot start a thread: {error}")))?;
            let mut failure: Option<PyErr> = None;
            loop {
                let events: Vec<Event> = match receiver.recv_timeout(POLL) {
                    Ok(event) => std::iter::once(event).chain(receiver.try_iter()).collect(),
                    Err(RecvTimeoutError::Timeout) => Vec::new(),
                    Err(RecvTimeoutError::Disconnected) => break,
                };
                if failure.is_none() {
                    failure = Python::attach(|py| deliver(py, progress, &events)).err();
                    if failure.is_some() {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            }
            let result = worker.join().unwrap_or_else(|panic| resume_unwind(panic));
            failure.map_or(Ok(result), Err)
        })
    };
    py.detach(wait)
}

fn deliver(py: Python<'_>, progress: Option<&Py<PyAny>>, events: &[Event]) -> PyResult<()> {
    if let Some(progress) = progress {
        for event in events {
            progress.call1(py, (&event.step, event.done, event.total, &event.note))?;
        }
    }
    py.check_signals()
}
