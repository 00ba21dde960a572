//! Whether a fleet would run: the files that the configuration names, and whom it is to speak with. Nothing
//! is changed by looking.

use crate::Error;
use crate::authority::Upstream;
use crate::config::{Collector, Config};
use crate::store;
use crate::trust::{self, Trust};
use touchstone_drive::element::Elements;

/// What else of a configuration can be checked without starting: secrets and reference values.
pub fn files(config: &Config, trust: &Trust) -> Vec<Error> {
    let mut faults = Vec::new();
    for path in &config.trust.references {
        let opened = trust::read(path, trust::LARGEST_REFERENCE).and_then(|envelope| {
            trust.open_reference(&envelope, "").map_err(|words| Error::content(path, words))
        });
        faults.extend(opened.err());
    }
    let secrets = config.operators.iter().map(|entry| &entry.token);
    let secrets = secrets.chain(config.database.secrets());
    let collectors = config.collectors.iter().flat_map(Collector::secrets);
    let upstreams = config.authority.upstreams.iter().filter_map(|it| it.password.as_ref());
    let upstreams = upstreams.map(|(_, secret)| secret);
    for secret in secrets.chain(collectors).chain(upstreams) {
        faults.extend(secret.read().err().map(Error::file(&secret.path())));
    }
    faults
}

/// The database and the other CAs: whether they are there, what they say, and whether they know the fleet. Of
/// another CA no certificate is asked for: an empty request shows whether it lets the fleet in.
pub async fn connections(config: &Config) -> Vec<Error> {
    let (database, path) = (config.database.clone(), config.state_dir.join("fleet.db"));
    let looked = tokio::task::spawn_blocking(move || store::look(&database, &path)).await;
    let mut faults: Vec<Error> = looked.unwrap_or(Err(Error::Closed)).err().into_iter().collect();
    let elements =
        Elements { at: config.authority.elements.clone(), state: config.state_dir.join("element") };
    for settings in &config.authority.upstreams {
        let checked = match Upstream::open(settings, &elements).await {
            Ok(upstream) => upstream.check().await.map_err(|declined| Error::Upstream {
                name: settings.name.clone(),
                at: settings.address.to_string(),
                words: declined.to_string(),
            }),
            Err(error) => Err(error),
        };
        faults.extend(checked.err());
    }
    faults
}
