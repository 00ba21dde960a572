//! Errands: the fleet's orders, envelopes that came by hand, and reports of what became of them.

use super::{Agent, Error, SharedUpdates, lock, unix};
use crate::fleet;
use crate::offloop::off_loop;
use crate::update::LARGEST;
use crate::update::inbox;
use crate::update::outcome::{Ending, Outcome};
use hyper::Method;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Octets of a JSON answer.
const ANSWER: usize = 256 << 10;

#[derive(Deserialize)]
struct Orders {
    orders: Vec<Order>,
}

#[derive(Deserialize)]
struct Order {
    id: u64,
    kind: String,
    #[serde(default)]
    component: String,
    #[serde(default)]
    version: u64,
    #[serde(default)]
    path: String,
}

#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    order: u64,
    outcome: &'a str,
    code: &'a str,
    reason: &'a str,
}

impl Agent {
    /// Runs what errands there are. True if something was installed.
    pub(super) async fn run_errands(&mut self, ordered: bool) -> Result<bool, Error> {
        // What was done before must be told first, or the order would come again.
        self.report().await?;
        let mut installed = self.empty_inbox().await?;
        if ordered {
            installed |= self.follow_orders().await?;
        }
        self.report().await?;
        Ok(installed)
    }

    async fn report(&mut self) -> Result<(), Error> {
        loop {
            let next = lock(&self.updates).unreported();
            let Some(outcome) = next else { return Ok(()) };
            let (code, reason) = outcome.result.why();
            let report = Report {
                schema: "touchstone.report/1",
                order: outcome.order,
                outcome: outcome.result.word(),
                code,
                reason,
            };
            let body = serde_json::to_vec(&report).map_err(|error| fleet::Error::Answer {
                what: "a report",
                reason: error.to_string(),
            })?;
            let answer = self
                .client
                .request(Method::POST, "/v1/device/reports", Some("application/json"), body, ANSWER)
                .await?;
            match answer.good("a report") {
                Ok(_) => {}
                // An order that the fleet does not know (any more) will not be asked for either.
                Err(fleet::Error::Refused { status: 400..=499, code, message, .. }) => {
                    tracing::warn!(order = outcome.order, code, "report not taken: {message}");
                }
                Err(error) => return Err(error.into()),
            }
            let updates = Arc::clone(&self.updates);
            off_loop(move || lock(&updates).reported(&outcome)).await?;
        }
    }

    async fn follow_orders(&mut self) -> Result<bool, Error> {
        let answer = self
            .client
            .request(Method::GET, "/v1/device/orders?after=0", None, Vec::new(), ANSWER)
            .await?
            .good("orders")?;
        let orders: Orders = answer.json("orders")?;
        let mut installed = false;
        for order in orders.orders {
            if lock(&self.updates).has_settled(order.id) {
                continue;
            }
            installed |= self.follow(&order).await?;
        }
        Ok(installed)
    }

    async fn follow(&mut self, order: &Order) -> Result<bool, Error> {
        let refuse = |code: &'static str, reason: String| {
            let (updates, component) = (Arc::clone(&self.updates), order.component.clone());
            let (id, version) = (order.id, order.version);
            off_loop(move || lock(&updates).refuse(id, &component, version, code, &reason, unix()))
        };
        if order.kind != "update" || !order.path.starts_with("/v1/updates/") {
            let reason =
                format!("orders of kind `{}` are not understood; update the agent", order.kind);
            tell(&refuse("agent.order.kind", reason).await?);
            return Ok(false);
        }
        let fetched =
            self.client.request(Method::GET, &order.path, None, Vec::new(), LARGEST).await?;
        let envelope = match fetched.good("an envelope") {
            Ok(answer) => answer.body,
            Err(fleet::Error::Refused { status: 400..=499, message, .. }) => {
                tell(&refuse("agent.update.gone", message).await?);
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        take(&self.updates, order.id, envelope.to_vec()).await
    }

    async fn empty_inbox(&mut self) -> Result<bool, Error> {
        let Some(folder) = self.config.update.inbox.clone() else { return Ok(false) };
        let mut installed = false;
        loop {
            let folder = folder.clone();
            let Some(found) = off_loop(move || inbox::next(&folder)).await.map_err(Error::Inbox)?
            else {
                return Ok(installed);
            };
            let updates = Arc::clone(&self.updates);
            installed |= off_loop(move || {
                tracing::info!(file = found.name(), "an envelope is in the inbox");
                let outcome = if let Some(envelope) = &found.envelope {
                    lock(&updates).take(0, envelope, unix())?
                } else {
                    let reason = format!("longer than {LARGEST} octets");
                    lock(&updates).refuse(0, "", 0, "agent.update.too-long", &reason, unix())?
                };
                tell(&outcome);
                // An envelope that stays would be taken again and again.
                found.put_aside(outcome.result.word()).map_err(Error::Inbox)?;
                Ok::<_, Error>(outcome.result == Ending::Applied)
            })
            .await?;
        }
    }
}

async fn take(updates: &SharedUpdates, order: u64, envelope: Vec<u8>) -> Result<bool, Error> {
    let updates = Arc::clone(updates);
    let outcome = off_loop(move || lock(&updates).take(order, &envelope, unix())).await?;
    tell(&outcome);
    Ok(outcome.result == Ending::Applied)
}

fn tell(outcome: &Outcome) {
    let (code, reason) = outcome.result.why();
    let (component, version) = (&outcome.component, outcome.version);
    let word = outcome.result.word();
    if outcome.result == Ending::Applied {
        tracing::info!(component, version, code, "update {word}: {reason}");
    } else {
        tracing::warn!(component, version, code, "update {word}: {reason}");
    }
}
