//! The policy core as firmware of a Cortex-M4: a policy is loaded, a device is judged, and the
//! outcomes are told in words. Elsewhere this is a program that says so.
#![forbid(unsafe_code)]
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod firmware {
    use core::hint::black_box;
    use core::panic::PanicInfo;
    use touchstone_policy::{Catalog, ClaimSet, Policy, Type, tier};

    #[global_allocator]
    static HEAP: emballoc::Allocator<24576> = emballoc::Allocator::new();

    #[cortex_m_rt::entry]
    fn main() -> ! {
        let catalog = Catalog::new().with("boot.secure-boot", Type::Boolean, "Secure Boot is on");
        // Nothing is known of what comes in.
        let text: &str = black_box("policy p version 1 schema 1");
        let claims: ClaimSet = black_box(ClaimSet::new());
        match Policy::parse(text, &catalog) {
            Ok(policy) => {
                let outcomes = policy.evaluate(&claims);
                black_box(tier(&outcomes));
                for outcome in &outcomes {
                    black_box((outcome.explanation(), outcome.countermeasures()));
                }
            }
            Err(faults) => drop(black_box(faults)),
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
