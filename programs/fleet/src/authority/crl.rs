//! CRLs: full ones, partitions, and deltas (RFC 5280 §5), made in time and when something is revoked.

use super::responder::reason_of;
use super::{Authority, Issuing};
use crate::store::Store;
use crate::{Error, clock};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use touchstone_certs::crl::{CrlTemplate, Revoked};
use touchstone_crypto_awslc::AwsLc;

/// A storm of revocations makes no more lists than one in so many seconds.
const PAUSE: u64 = 2;

/// A list as it is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The CRL, DER.
    pub octets: Arc<[u8]>,
    /// When it was made.
    pub from: u64,
    /// Until when it holds.
    pub until: u64,
    /// When there is another at the latest.
    pub next: u64,
}

/// The lists in force.
#[derive(Default)]
pub(super) struct Lists {
    /// By file name without its ending.
    files: Mutex<BTreeMap<String, Published>>,
    /// Of each issuing CA: what was known when its lists were made.
    made: Mutex<BTreeMap<String, Made>>,
}

/// When lists were made, and of what.
#[derive(Clone, Debug, Default)]
struct Made {
    /// When the full lists were.
    full: u64,
    /// When the last lists were, full or delta.
    last: u64,
    /// How many revocations there were then, and the latest.
    mark: (u64, u64),
    /// The number of each full list.
    numbers: BTreeMap<String, u64>,
}

impl Lists {
    /// The file of that name without its ending.
    pub(super) fn get(&self, file: &str) -> Option<Published> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.get(file).cloned()
    }

    pub(super) fn put(&self, file: &str, list: Published) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(file.to_owned(), list);
    }
}

impl Authority {
    /// The file of that name below `/crl`.
    pub fn crl(&self, file: &str) -> Option<Published> {
        self.lists.get(file.strip_suffix(".crl")?)
    }

    /// Makes the lists that are due. A CA that cannot sign keeps its lists for as long as they hold;
    /// the others are made all the same.
    pub async fn publish(&self, store: &Store) -> Result<(), Error> {
        let mut failed = self.take_brought();
        for issuing in self.signers() {
            if let Err(error) = self.publish_of(issuing, store).await {
                failed = Err(error);
            }
        }
        failed
    }

    async fn publish_of(&self, issuing: &Issuing, store: &Store) -> Result<(), Error> {
        let now = clock::now();
        let made = {
            let made = self.lists.made.lock().unwrap_or_else(PoisonError::into_inner);
            made.get(&issuing.id).cloned().unwrap_or_default()
        };
        let id = issuing.id.clone();
        let mark = store.call(move |db| db.revocations(&id)).await?;
        let changed = mark != made.mark && now >= made.last.saturating_add(PAUSE);
        let (lifetime, delta) = (self.crl.lifetime.as_secs(), self.crl.delta.as_secs());
        if now >= made.full.saturating_add(lifetime / 2) || (changed && delta == 0) {
            return self.make_full(issuing, store, now, mark).await;
        }
        if delta > 0 && (changed || now >= made.last.saturating_add(delta / 2)) {
            return self.make_deltas(issuing, store, now, mark, made).await;
        }
        Ok(())
    }

    async fn make_full(
        &self,
        issuing: &Issuing,
        store: &Store,
        now: u64,
        mark: (u64, u64),
    ) -> Result<(), Error> {
        // The few CAs below a root are not divided.
        let root = self.signing.iter().any(|root| root.id == issuing.id);
        let whole = vec![issuing.name.clone()];
        let mut lists = if root { whole } else { self.crl.lists(&issuing.name) };
        let id = issuing.id.clone();
        // Lists that certificates of before name stay, whatever the configuration says now.
        for list in store.call(move |db| db.crl_lists(&id)).await? {
            if !list.is_empty() && !lists.contains(&list) {
                lists.push(list);
            }
        }
        let mut numbers = BTreeMap::new();
        for list in lists {
            let number = self.make(issuing, store, &list, now, None).await?;
            if self.crl.delta.as_secs() > 0 {
                self.make(issuing, store, &list, now, Some((number, now))).await?;
            }
            numbers.insert(list, number);
        }
        let mut made = self.lists.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.insert(issuing.id.clone(), Made { full: now, last: now, mark, numbers });
        Ok(())
    }

    async fn make_deltas(
        &self,
        issuing: &Issuing,
        store: &Store,
        now: u64,
        mark: (u64, u64),
        made: Made,
    ) -> Result<(), Error> {
        for (list, base) in &made.numbers {
            self.make(issuing, store, list, now, Some((*base, made.full))).await?;
        }
        let made = Made { last: now, mark, ..made };
        let mut all = self.lists.made.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(issuing.id.clone(), made);
        Ok(())
    }

    /// Makes one list: a full one, or the delta to the full one of that number and time.
    async fn make(
        &self,
        issuing: &Issuing,
        store: &Store,
        list: &str,
        now: u64,
        base: Option<(u64, u64)>,
    ) -> Result<u64, Error> {
        let whole = list == issuing.name;
        let holds = if base.is_some() { self.crl.delta } else { self.crl.lifetime }.as_secs();
        let (id, name) = (issuing.id.clone(), list.to_owned());
        let since = base.map_or(0, |(_, at)| at);
        // RFC 5280 §3.3: an entry stays for one list beyond its certificate's end.
        let end = now.saturating_sub(self.crl.lifetime.as_secs());
        let (number, rows) = store
            .call(move |db| {
                let rows = db.revoked(&id, (!whole).then_some(name.as_str()), since, end)?;
                Ok((db.next_crl_number(&id, &name)?, rows))
            })
            .await?;
        let revoked = rows
            .into_iter()
            .map(|(serial, at, reason)| Revoked { serial, at, reason: reason_of(&reason) })
            .collect();
        let mut template =
            CrlTemplate::new(number, now, now.saturating_add(holds)).with_revoked(revoked);
        template.base = base.map(|(number, _)| number);
        if !whole {
            template.partition.extend(self.crl.url_of(list));
        }
        if base.is_none() {
            template.delta_urls.extend(self.crl.delta_url_of(list));
        }
        let waiting = template
            .to_be_signed(&AwsLc, &issuing.certificate, issuing.key.algorithm())
            .map_err(Error::crypto("a CRL"))?;
        let crl = issuing.key.finish("a CRL", waiting).await?;
        self.heed(&crl);
        let published = Published {
            octets: crl.der().into(),
            from: now,
            until: now.saturating_add(holds),
            next: now.saturating_add(holds / 2),
        };
        let file = if base.is_some() { format!("{list}-delta") } else { list.to_owned() };
        self.lists.put(&file, published);
        Ok(number)
    }
}
