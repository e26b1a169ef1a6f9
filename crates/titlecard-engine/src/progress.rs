//! How long-running steps say how far they are, and how they are asked to stop.
//!
//! The library never prints: every long step takes a [`Report`] and calls it with a [`Progress`] at
//! least once a second or so. The front end draws a bar, and answers [`ControlFlow::Break`] after Ctrl-C.

use std::ops::ControlFlow;

/// How far a step is.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress<'a> {
    /// What is being done, in a few words ("reading catalogue").
    pub step: &'a str,
    /// Units done so far.
    pub done: u64,
    /// Units in all; 0 if not known.
    pub total: u64,
    /// Figures worth seeing while it runs ("loss 0.412"); may be empty.
    pub note: &'a str,
}

/// Receives progress; answers whether to go on.
pub type Report<'a> = dyn FnMut(&Progress<'_>) -> ControlFlow<()> + 'a;

/// A step was stopped from outside; what it had not finished is not saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted while {step}; nothing of this step was saved, earlier results are untouched")]
pub struct Interrupted {
    /// The step that was running.
    pub step: &'static str,
}

/// Reports and turns an answer to stop into an error.
pub(crate) fn tell(
    report: &mut Report<'_>,
    step: &'static str,
    done: usize,
    total: usize,
    note: &str,
) -> Result<(), Interrupted> {
    match report(&Progress { step, done: done as u64, total: total as u64, note }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Interrupted { step }),
    }
}

/// A report that is never shown and never stops anything.
pub fn silent(_: &Progress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
