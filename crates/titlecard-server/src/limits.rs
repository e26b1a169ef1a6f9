//! Limits that guard the server: requests a second by key or address, lists in lists, bodies.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use axum::body::Body;
use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::error::{ApiError, Code};

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Counted {
    /// Those of a key, by its name.
    Key(String),
    /// Those without a key, by address.
    Address(IpAddr),
}

/// Requests a second, by key or address.
pub(crate) struct Limiters {
    limiter: Option<RateLimiter<Counted, HashMapStateStore<Counted>, DefaultClock>>,
    clock: DefaultClock,
}

/// Addresses remembered before those that are quiet again are forgotten.
const REMEMBERED: usize = 10_000;

impl Limiters {
    /// `per_second` requests each, `burst` at once; 0 a second for any number.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let quota = NonZeroU32::new(per_second).map(|per_second| {
            Quota::per_second(per_second).allow_burst(NonZeroU32::new(burst).unwrap_or(per_second))
        });
        Self { limiter: quota.map(RateLimiter::hashmap), clock: DefaultClock::default() }
    }

    /// Counts a request.
    pub(crate) fn check(&self, counted: &Counted) -> Result<(), ApiError> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        if limiter.len() > REMEMBERED {
            limiter.retain_recent();
        }
        limiter.check_key(counted).map_err(|early| {
            let wait = early.wait_time_from(self.clock.now()).as_secs_f64().ceil().max(1.0) as u64;
            ApiError::new(Code::TooManyRequests, format!("too many requests; try again in {wait} s"))
                .retry_after(wait)
        })
    }
}

/// Lists and objects in each other, at most.
pub(crate) const MAX_DEPTH: usize = 16;

/// Whether lists and objects of `json` lie deeper in each other than [`MAX_DEPTH`]; looked at before anything is
/// parsed.
pub(crate) fn is_too_deep(json: &[u8]) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for &byte in json {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Reads a body of at most `max_bytes`, in at most `time`.
pub(crate) async fn read_body(body: Body, max_bytes: usize, time: Duration) -> Result<Vec<u8>, ApiError> {
    let read = Limited::new(body, max_bytes).collect();
    match tokio::time::timeout(time, read).await {
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => Err(ApiError::new(
            Code::BodyTooLarge,
            format!("the body is longer than {max_bytes} bytes; send less at a time"),
        )),
        Ok(Err(error)) => Err(ApiError::new(Code::BadJson, format!("the body broke off: {error}"))),
        Err(_) => Err(ApiError::new(
            Code::BodyTimeout,
            format!("the body did not come within {} s", time.as_secs_f64()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_of_texts() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(!is_too_deep(nested(MAX_DEPTH).as_bytes()));
        assert!(is_too_deep(nested(MAX_DEPTH + 1).as_bytes()));
        assert!(!is_too_deep(format!("\"{}\\\"{}\"", "[".repeat(40), "{".repeat(40)).as_bytes()));
        assert!(!is_too_deep("[],".repeat(100).as_bytes()));
    }

    #[test]
    fn one_key_does_not_use_up_what_another_may() {
        let limiters = Limiters::new(1, 2);
        let (a, b) = (Counted::Key("a".into()), Counted::Address([127, 0, 0, 1].into()));
        assert!(limiters.check(&a).is_ok() && limiters.check(&a).is_ok());
        let error = limiters.check(&a).unwrap_err();
        assert_eq!((error.code, error.retry_after_s), (Code::TooManyRequests, Some(1)));
        assert!(limiters.check(&b).is_ok());
        let any = Limiters::new(0, 1);
        assert!((0..1000).all(|_| any.check(&a).is_ok()));
    }
}
