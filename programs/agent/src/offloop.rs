//! Work that waits: for the element, the disk, another program. It happens on threads beside the
//! loop, so that tunnels go on while a TPM signs.

use tokio::task::spawn_blocking;

/// Does `work` beside the loop. A panic in it goes on here.
pub async fn off_loop<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime shuts down: nothing may go on.
            Err(_) => std::future::pending().await,
        },
    }
}
