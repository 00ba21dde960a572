//! Errands: the fleet's orders, which the keeper carries out, and reports of what became of them.

use super::{Error, Network, fleet};
use crate::link::{Ask, Reply, Why};
use crate::update::LARGEST;
use hyper::Method;
use serde::{Deserialize, Serialize};

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

impl Network {
    /// Runs what errands there are. True if something was installed.
    pub(super) async fn run_errands(&mut self, ordered: bool) -> Result<bool, Error> {
        // What was done before must be told first, or the order would come again.
        let mut installed = self.report().await?;
        if ordered {
            installed |= self.follow_orders().await?;
        }
        Ok(installed | self.report().await?)
    }

    /// Tells the fleet what became of things. True if the keeper found an update by hand meanwhile.
    async fn report(&mut self) -> Result<bool, Error> {
        let mut by_hand = false;
        loop {
            let Reply::Errands { installed, report } = self.ask(Ask::Errands).await? else {
                return Err(Error::Answer);
            };
            by_hand |= installed;
            let Some(next) = report else { return Ok(by_hand) };
            let report = Report {
                schema: "touchstone.report/1",
                order: next.order,
                outcome: &next.outcome,
                code: &next.code,
                reason: &next.reason,
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
                    tracing::warn!(order = next.order, code, "report not taken: {message}");
                }
                Err(error) => return Err(error.into()),
            }
            self.ask(Ask::Reported).await?;
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
            if !self.ask_truth(Ask::Settled(order.id)).await? {
                installed |= self.follow(order).await?;
            }
        }
        Ok(installed)
    }

    async fn follow(&mut self, order: Order) -> Result<bool, Error> {
        if order.kind != "update" || !order.path.starts_with("/v1/updates/") {
            let words =
                format!("orders of kind `{}` are not understood; update the agent", order.kind);
            return self.decline(order, Why::Kind, words).await;
        }
        let fetched =
            self.client.request(Method::GET, &order.path, None, Vec::new(), LARGEST).await?;
        match fetched.good("an envelope") {
            Ok(answer) => {
                let envelope = answer.body.into();
                self.ask_truth(Ask::Envelope { order: order.id, envelope }).await
            }
            Err(fleet::Error::Refused { status: 400..=499, message, .. }) => {
                self.decline(order, Why::Gone, message).await
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn decline(&mut self, order: Order, why: Why, words: String) -> Result<bool, Error> {
        let Order { id, component, version, .. } = order;
        self.ask(Ask::Decline { order: id, component, version, why, words }).await?;
        Ok(false)
    }
}
