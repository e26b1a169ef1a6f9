//! The door to the processor: so many searches at a time, so many waiting, no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use crate::error::{ApiError, Code};

/// Runs work that keeps a core busy on blocking threads.
#[derive(Debug)]
pub(crate) struct Gate {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue: usize,
}

/// Counts one that waits for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    /// `workers` pieces of work at a time, `queue` waiting.
    pub(crate) fn new(workers: usize, queue: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(workers)), waiting: AtomicUsize::new(0), queue }
    }

    /// Pieces of work that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Runs `work` when its turn comes. If the future is dropped while it waits, the work is never begun; once begun
    /// it keeps its place until it ends, whoever still wants the answer.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let permit = match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let before = self.waiting.fetch_add(1, Ordering::Relaxed);
                let _waiting = Waiting(&self.waiting);
                if before >= self.queue {
                    return Err(ApiError::new(
                        Code::Busy,
                        format!("{before} requests wait already; try again in a second"),
                    )
                    .retry_after(1));
                }
                Arc::clone(&self.permits).acquire_owned().await.map_err(ApiError::internal)?
            }
        };
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        })
        .await
        .map_err(ApiError::internal)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use axum::response::IntoResponse;

    use super::*;

    #[test]
    fn work_that_panics_is_a_fault_of_ours_tells_nothing_and_keeps_no_place() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let gate = Gate::new(1, 0);
        let failed = runtime.block_on(gate.run(|| -> u32 { panic!("in /a/secret/place") })).unwrap_err();
        assert_eq!(failed.code, Code::Internal);
        let response = failed.into_response();
        assert_eq!(response.status().as_u16(), 500);
        let body = runtime.block_on(to_bytes(response.into_body(), 10_000)).unwrap();
        let said = r#"{"error":{"code":"internal","message":"this should not have happened","hint":"the log of the server says more"}}"#;
        assert_eq!(String::from_utf8_lossy(&body), said);
        assert_eq!(runtime.block_on(gate.run(|| 7)), Ok(7));
    }
}
