//! Judging by a policy that was read before, as firmware of a Cortex-M4: a device is judged, and the
//! outcomes are told in words. The reader is not in it. Elsewhere this is a program that says so.
#![forbid(unsafe_code)]
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod firmware {
    use core::hint::black_box;
    use core::panic::PanicInfo;
    use touchstone_policy::{ClaimSet, Policy, tier};

    #[global_allocator]
    static HEAP: emballoc::Allocator<24576> = emballoc::Allocator::new();

    #[cortex_m_rt::entry]
    fn main() -> ! {
        // Nothing is known of the policy and of what comes in.
        let policy: Option<&Policy> = black_box(None);
        let claims: ClaimSet = black_box(ClaimSet::new());
        if let Some(policy) = policy {
            let outcomes = policy.evaluate(&claims);
            black_box(tier(&outcomes));
            for outcome in &outcomes {
                black_box((outcome.explanation(), outcome.countermeasures()));
            }
        }
        loop {}
    }

    #[panic_handler]
    fn panic(_: &PanicInfo<'_>) -> ! {
        loop {}
    }
}

#[cfg(not(target_os = "none"))]
#[expect(clippy::print_stderr, reason = "a program that talks to a person")]
fn main() {
    eprintln!("this is firmware: `cargo xtask size` builds and measures it");
}
