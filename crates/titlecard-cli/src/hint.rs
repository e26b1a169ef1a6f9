//! How errors look: `error: …`, the causes, and a hint apart.

use std::io::Write;

/// Prints `error` with its causes on stderr. A message of ours ends in `; what to do`: that part
/// becomes the hint.
pub(crate) fn print_error(error: &anyhow::Error, colour: bool) {
    let (red, cyan, reset) = if colour { ("\x1b[1;31m", "\x1b[1;36m", "\x1b[0m") } else { ("", "", "") };
    let mut messages: Vec<String> = Vec::new();
    for cause in error.chain() {
        let message = cause.to_string();
        // Transparent errors repeat their cause.
        if messages.last().is_none_or(|last| !last.contains(&message)) {
            messages.push(message);
        }
    }
    let mut hint = None;
    if let Some(last) = messages.last_mut()
        && let Some((what, way_out)) = last.rsplit_once("; ")
    {
        hint = Some(way_out.to_owned());
        *last = what.to_owned();
    }
    let mut text = String::new();
    for (at, message) in messages.iter().enumerate() {
        if at == 0 {
            text.push_str(&format!("{red}error:{reset} {message}\n"));
        } else {
            text.push_str(&format!("  because: {message}\n"));
        }
    }
    if let Some(hint) = hint {
        text.push_str(&format!("\n{cyan}hint:{reset} {hint}\n"));
    }
    // If stderr is closed there is nobody to tell.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
