//! The application on the device: it measures a temperature and publishes it by plain MQTT to
//! localhost. It knows nothing of TLS, certificates or attestation.
//! What this is not: part of Touchstone. It stands for the applications that exist already.

use anyhow::{Context, Result};
use rumqttc::{Client, Event, MqttOptions, Outgoing, Packet, QoS};
use std::hint::black_box;
use std::time::Duration;

/// Where the readings go.
pub const TOPIC: &str = "plant/line-1/temperature";

/// A number that stands in the program's code, and so can be patched there.
pub const CALIBRATION: u32 = 0x4B1D_C0DE;

/// The calibrated reading in thousandths of a degree: 20 to 21 degrees, unless the code was patched.
#[inline(never)]
pub fn calibrated(raw: u32) -> u32 {
    black_box(CALIBRATION).wrapping_sub(CALIBRATION - 20_000).wrapping_add(raw % 1_000)
}

/// Publishes a reading a second until it is killed; `args` may name the broker's port.
pub fn run(version: &'static str) -> Result<()> {
    let port = match std::env::args().nth(1) {
        Some(port) => port.parse().with_context(|| format!("`{port}` is not a port"))?,
        None => 1883,
    };
    let mut options = MqttOptions::new("sensor", "127.0.0.1", port);
    options.set_keep_alive(Duration::from_secs(5));
    let (client, mut connection) = Client::new(options, 4);
    std::thread::Builder::new().name("readings".into()).spawn(move || {
        for sequence in 0u32.. {
            let reading = calibrated(sequence.wrapping_mul(137));
            let text = format!(
                r#"{{"sensor":"{version}","sequence":{sequence},"millidegrees":{reading}}}"#
            );
            if client.publish(TOPIC, QoS::AtLeastOnce, false, text).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    })?;
    for event in connection.iter() {
        match event {
            Ok(Event::Incoming(Packet::ConnAck(_))) => eprintln!("sensor {version}: connected"),
            Ok(Event::Outgoing(Outgoing::Disconnect)) => return Ok(()),
            Ok(_) => {}
            Err(error) => {
                eprintln!("sensor {version}: {error}; trying again in a second");
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unpatched_reading_is_a_room_temperature() {
        for raw in [0, 1, 999, 1_000, u32::MAX] {
            assert!((20_000..21_000).contains(&calibrated(raw)), "{raw}");
        }
    }
}
