//! The client as firmware of a Cortex-M4. The board's own SPI driver and random source are left out:
//! they are a few registers, and the owner's. Elsewhere this is a program that says so.
#![forbid(unsafe_code)]
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod firmware {
    use core::hint::black_box;
    use core::panic::PanicInfo;
    use touchstone_crypto::Error;
    use touchstone_crypto_soft::{AES_128, HMAC_SHA256, P256, Soft};
    use touchstone_tpm2::TransportError;
    use touchstone_tpm2::tis::{Delay, Spi, SpiBus};

    #[global_allocator]
    static HEAP: emballoc::Allocator<24576> = emballoc::Allocator::new();
    /// The client verifies nothing, and TPMs have their keys for sessions on P-256.
    static SOFT: Soft = Soft::new(random)
        .signatures(&[])
        .agreements(&[&P256])
        .macs(&[&HMAC_SHA256])
        .ciphers(&[&AES_128]);

    /// The board's: nothing is known of what comes in and goes out.
    struct Board;

    impl Spi for Board {
        type Error = TransportError;

        fn select(&mut self, selected: bool) -> Result<(), TransportError> {
            black_box(selected);
            Ok(())
        }

        fn exchange(&mut self, octets: &mut [u8]) -> Result<(), TransportError> {
            black_box(octets);
            Ok(())
        }
    }

    impl Delay for Board {
        fn micros(&mut self, micros: u32) {
            black_box(micros);
        }
    }

    fn random(out: &mut [u8]) -> Result<(), Error> {
        black_box(out);
        Ok(())
    }

    #[cortex_m_rt::entry]
    fn main() -> ! {
        let bus = SpiBus::new(Board);
        let report = touchstone_size::attest(bus, Board, &SOFT, black_box(&[0; 32]));
        black_box(&report.is_ok());
        if let Ok(report) = report {
            black_box((&report.pcrs, &report.key, &report.quote, &report.random));
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
