//! Every place between two writes: where the recovery tests let the process die. Outside tests it is nothing.

/// One more write has been made.
#[inline]
pub(super) fn point() {
    #[cfg(test)]
    tests::die_if_it_is_time();
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    /// The number of the point at which this process dies, counted from 1.
    pub const DIE_AT: &str = "LEDGER_TEST_DIE_AT";
    static PASSED: AtomicU64 = AtomicU64::new(0);

    pub fn die_if_it_is_time() {
        let Some(at) = std::env::var(DIE_AT).ok().and_then(|at| at.parse::<u64>().ok()) else { return };
        if PASSED.fetch_add(1, Ordering::SeqCst) + 1 == at {
            std::process::abort();
        }
    }
}
