//! What the broker hears: every reading of the sensor, in plaintext, with the time it came.

use super::super::sensor::TOPIC;
use anyhow::Result;
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use serde::Deserialize;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A reading as it arrived at the broker.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    /// When.
    pub(super) at: Instant,
    /// Which version of the sensor said it.
    pub(super) sensor: String,
    /// Thousandths of a degree.
    pub(super) millidegrees: u32,
}

/// Listens at the broker's observer port.
pub(super) struct Watch(Arc<Mutex<Vec<Heard>>>);

#[derive(Deserialize)]
struct Reading {
    sensor: String,
    millidegrees: u32,
}

impl Watch {
    /// Subscribes, and goes on listening in a thread of its own.
    pub(super) fn start(observer: SocketAddr) -> Result<Self> {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let mut options = MqttOptions::new("observer", observer.ip().to_string(), observer.port());
        options.set_keep_alive(Duration::from_secs(5));
        let (client, mut connection) = Client::new(options, 4);
        let into = Arc::clone(&heard);
        std::thread::Builder::new().name("observer".into()).spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        if client.subscribe(TOPIC, QoS::AtLeastOnce).is_err() {
                            return;
                        }
                    }
                    Ok(Event::Incoming(Packet::Publish(message))) => {
                        if let Ok(reading) = serde_json::from_slice::<Reading>(&message.payload) {
                            let Reading { sensor, millidegrees } = reading;
                            let heard = Heard { at: Instant::now(), sensor, millidegrees };
                            into.lock().unwrap_or_else(PoisonError::into_inner).push(heard);
                        }
                    }
                    Ok(_) => {}
                    // The broker is gone: the scene is over.
                    Err(_) => std::thread::sleep(Duration::from_millis(500)),
                }
            }
        })?;
        Ok(Self(heard))
    }

    /// What was heard from `since` on.
    pub(super) fn since(&self, since: Instant) -> Vec<Heard> {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.iter().filter(|reading| reading.at >= since).cloned().collect()
    }
}
